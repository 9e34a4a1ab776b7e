const TABLE = /^(?:arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table\/)?[A-Za-z0-9_.-]{3,255}$/;

/** Whether a string can be the name or the ARN of a DynamoDB table. */
export function isTableName(text: string): boolean {
  return TABLE.test(text);
}

/** The region of a table's ARN. Undefined for a name. */
export function regionOfTable(table: string): string | undefined {
  return table.split(':')[3];
}

/** The name of a table that is given by its name or its ARN. */
export function nameOfTable(table: string): string {
  return table.slice(table.lastIndexOf('/') + 1);
}

/**
 * Whether two tables of one region may be the same table. An ARN contains the account, and a name does not. So a name
 * and an ARN may be the same table if the ARN ends with the name.
 */
export function mayBeSameTable(one: string, other: string): boolean {
  const areArns = regionOfTable(one) !== undefined && regionOfTable(other) !== undefined;
  return areArns ? one === other : nameOfTable(one) === nameOfTable(other);
}

/** The replica of a Global Table in a region. All replicas have the same name, but each replica has its own ARN. */
export function tableIn(region: string, table: string): string {
  const parts = table.split(':');
  return parts.length === 1 ? table : parts.with(3, region).join(':');
}

/** The error text for a string that is neither the name nor the ARN of a table. */
export const NO_TABLE_NAME = 'is neither the name nor the ARN of a DynamoDB table';
