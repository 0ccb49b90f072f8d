output "topic_arn" {
  description = "Topic that alarms are sent to."
  # Whoever gets the topic gets one that can be published to.
  value = aws_sns_topic_policy.this.arn
}
