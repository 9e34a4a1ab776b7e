/** A JSON object whose members have not been checked. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a parsed JSON value is an object. An array is not. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The members of a parsed JSON value. A value that is not an object has none. */
export function membersOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
