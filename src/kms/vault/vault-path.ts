/** Whether a text is one or more names separated by slashes, such as a mount path or a namespace. */
export function isPathSegments(text: string): boolean {
  return text.length <= 512 && text.split('/').every(isName);
}

/** Whether a text is a name in a path of Vault. Vault refuses names that begin or end with a dot or a hyphen. */
export function isName(text: string): boolean {
  return /^\w(?:[\w.-]{0,254}\w)?$/.test(text);
}
