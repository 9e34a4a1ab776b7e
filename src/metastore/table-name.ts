const TABLE = /^(?:arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table\/)?[A-Za-z0-9_.-]{3,255}$/;

/** Whether a string can be the name or the ARN of a DynamoDB table. */
export function isTableName(text: string): boolean {
  return TABLE.test(text);
}

/** The error text for a string that is neither. */
export const NO_TABLE_NAME = 'is neither the name nor the ARN of a DynamoDB table';
