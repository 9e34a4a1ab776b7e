# Keyfold's functions and an HTTP API for Terraform. It needs the stacks of infra/ first:
# docs/how-to/deploy-with-terraform-or-sam.md.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.19" } # the first version with nodejs24.x
  }
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

data "aws_cloudformation_export" "role" {
  for_each = local.functions
  name     = "keyfold-roles-${each.value.role}Arn"
}

locals {
  region = data.aws_region.this.region
  alias  = "arn:${data.aws_partition.this.partition}:kms:${local.region}:${data.aws_caller_identity.this.account_id}:alias/keyfold"
  environment = {
    KEYFOLD_SERVICE       = "orders"
    KEYFOLD_PRODUCT       = "shop"
    KEYFOLD_TABLE         = "EncryptionKey"
    KEYFOLD_REGION_SUFFIX = local.region
    KEYFOLD_KMS_KEYS      = jsonencode({ (local.region) = local.alias })
  }
  functions = {
    api = {
      handler     = "dist/handlers/api/index.handler"
      role        = "ApiRole"
      timeout     = 29
      environment = { KEYFOLD_AUTH = "iam" }
    }
    seal = {
      handler     = "dist/handlers/invoke/index.handler"
      role        = "SealRole"
      timeout     = 30
      environment = { KEYFOLD_OPERATIONS = "encrypt,rewrap,encrypt-batch,rewrap-batch,encrypt-fields" }
    }
    open = {
      handler     = "dist/handlers/invoke/index.handler"
      role        = "OpenRole"
      timeout     = 30
      environment = { KEYFOLD_OPERATIONS = "decrypt,decrypt-batch,decrypt-fields" }
    }
    maintenance = {
      handler     = "dist/handlers/maintenance/index.handler"
      role        = "MaintenanceRole"
      timeout     = 300
      environment = {}
    }
  }
}

resource "aws_lambda_function" "keyfold" {
  for_each         = local.functions
  function_name    = "keyfold-${each.key}"
  filename         = "../.keyfold/zips/${each.key}.zip"
  source_code_hash = filebase64sha256("../.keyfold/zips/${each.key}.zip")
  handler          = each.value.handler
  role             = data.aws_cloudformation_export.role[each.key].value
  runtime          = "nodejs24.x"
  architectures    = ["arm64"]
  memory_size      = 1024
  timeout          = each.value.timeout
  depends_on       = [aws_cloudwatch_log_group.keyfold]
  environment {
    variables = merge(local.environment, each.value.environment)
  }
}

# The roles may write to these log groups, but cannot make them. terraform destroy keeps them, because they have the audit.
resource "aws_cloudwatch_log_group" "keyfold" {
  for_each          = local.functions
  name              = "/aws/lambda/keyfold-${each.key}"
  retention_in_days = 365
  skip_destroy      = true
}

resource "aws_apigatewayv2_api" "keyfold" {
  name          = "keyfold"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "keyfold" {
  api_id                 = aws_apigatewayv2_api.keyfold.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.keyfold["api"].invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "keyfold" {
  api_id             = aws_apigatewayv2_api.keyfold.id
  route_key          = "ANY /{proxy+}"
  target             = "integrations/${aws_apigatewayv2_integration.keyfold.id}"
  authorization_type = "AWS_IAM"
}

resource "aws_apigatewayv2_stage" "keyfold" {
  api_id      = aws_apigatewayv2_api.keyfold.id
  name        = "$default"
  auto_deploy = true
}

resource "aws_lambda_permission" "api" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.keyfold["api"].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.keyfold.execution_arn}/*"
}

resource "aws_cloudwatch_event_rule" "daily" {
  name                = "keyfold-maintenance"
  schedule_expression = "rate(1 day)"
}

resource "aws_cloudwatch_event_target" "daily" {
  rule = aws_cloudwatch_event_rule.daily.name
  arn  = aws_lambda_function.keyfold["maintenance"].arn
}

resource "aws_lambda_permission" "daily" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.keyfold["maintenance"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.daily.arn
}
