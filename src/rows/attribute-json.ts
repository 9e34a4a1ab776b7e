import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { KeyfoldError } from '../errors.ts';
import type { Cell, ReadCell } from '../maintenance/reencryption/rows.ts';
import { locateValues, stringOf, type JsonValue } from '../operations/json-text.ts';

/** Reads an attribute. A map or a list becomes JSON text, in which numbers keep all their digits. */
export function cellOfAttribute(attribute: AttributeValue): ReadCell {
  if (attribute.S !== undefined) return { kind: 'text', text: attribute.S };
  if (attribute.B !== undefined) return { kind: 'bytes', bytes: attribute.B };
  const text = jsonOf(attribute);
  return text === undefined ? { kind: 'unreadable' } : { kind: 'json', text };
}

/**
 * Writes a cell as an attribute.
 * @throws KeyfoldError `InvalidRequest` if a name or a string of a JSON text has a lone surrogate, which UTF-8 cannot
 * encode, or if an object has two members of one name
 */
export function attributeOfCell(cell: Cell): AttributeValue {
  if (cell.kind === 'text') return { S: cell.text };
  if (cell.kind === 'bytes') return { B: cell.bytes };
  return attributeOf(cell.text, locateValues(cell.text));
}

/** The JSON text of an attribute. Undefined for bytes and sets, because JSON has neither. */
function jsonOf({ S, N, BOOL, NULL, L, M }: AttributeValue): string | undefined {
  if (S !== undefined) return JSON.stringify(S);
  if (N !== undefined) return N;
  if (BOOL !== undefined) return String(BOOL);
  if (NULL !== undefined) return 'null';
  if (L !== undefined) {
    const items = L.map(jsonOf);
    return items.includes(undefined) ? undefined : `[${items.join(',')}]`;
  }
  if (M === undefined) return undefined;
  const members = Object.entries(M).map(([name, value]) => [name, jsonOf(value)] as const);
  if (members.some(([, text]) => text === undefined)) return undefined;
  return `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text ?? ''}`).join(',')}}`;
}

function attributeOf(text: string, value: JsonValue): AttributeValue {
  const { members, items, start, end } = value;
  if (members !== undefined) {
    // Object.fromEntries keeps a member named `__proto__`. An assignment would set the prototype instead.
    const entries = Array.from(members, ([name, member]) => [wellFormed(name), attributeOf(text, member)] as const);
    return { M: Object.fromEntries(entries) };
  }
  if (items !== undefined) return { L: items.map((item) => attributeOf(text, item)) };
  const string = stringOf(text, value);
  if (string !== undefined) return { S: wellFormed(string) };
  const word = text.slice(start, end);
  if (word === 'null') return { NULL: true };
  return word === 'true' || word === 'false' ? { BOOL: word === 'true' } : { N: word };
}

function wellFormed(text: string): string {
  if (text.isWellFormed()) return text;
  throw new KeyfoldError('InvalidRequest', 'A string of the JSON text is not well-formed Unicode.');
}
