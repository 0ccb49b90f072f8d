package packer

// permissions are the actions that baking and pruning need. A test compares them
// with what a bake calls. Beyond them: iam:PassRole where the builder has an
// instance profile; the use of the KMS key where that is not the account's
// standard one; through a session, ssm:StartSession and ssm:TerminateSession, and
// where no profile is given, making and deleting one with its role.
func permissions() []string {
	return []string{
		"autoscaling:DescribeAutoScalingGroups",
		"ec2:AuthorizeSecurityGroupIngress",
		"ec2:CreateImage",
		"ec2:CreateSecurityGroup",
		"ec2:CreateTags",
		"ec2:DeleteSecurityGroup",
		"ec2:DeleteSnapshot",
		"ec2:DeregisterImage",
		"ec2:DescribeImages",
		"ec2:DescribeInstances",
		"ec2:DescribeInstanceStatus",
		"ec2:DescribeLaunchTemplateVersions",
		"ec2:DescribeLaunchTemplates",
		"ec2:DescribeRegions", // not asked of an emulator
		"ec2:DescribeSecurityGroups",
		"ec2:DescribeSnapshots",
		"ec2:DescribeSubnets",
		"ec2:DescribeVolumes",
		"ec2:DescribeVpcs",
		"ec2:ModifyImageAttribute",
		"ec2:RunInstances",
		"ec2:StopInstances",
		"ec2:TerminateInstances",
	}
}
