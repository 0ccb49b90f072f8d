package main

// secret says which attributes hold secrets. The package that the schema is made
// from does not carry that mark, and OpenTofu refuses outputs that would show one,
// so it is kept here for what landscapes render to.
func secret(path, name string) bool {
	switch path + "." + name {
	case "aws_db_instance.password", "aws_db_instance.password_wo",
		"aws_rds_cluster.master_password", "aws_rds_cluster.master_password_wo",
		"aws_secretsmanager_secret_version.secret_string", "aws_secretsmanager_secret_version.secret_string_wo",
		"aws_secretsmanager_secret_version.secret_binary",
		"aws_ssm_parameter.value", "aws_ssm_parameter.value_wo",
		"aws_acm_certificate.private_key", "aws_iam_access_key.secret", "aws_iam_access_key.ses_smtp_password_v4",
		"aws_dms_endpoint.password", "aws_key_pair.private_key", "aws_vpn_connection.tunnel1_preshared_key",
		"aws_vpn_connection.tunnel2_preshared_key", "aws_vpn_connection.customer_gateway_configuration":
		return true
	}
	return false
}
