import { utf8Of } from '../../crypto/utf8.ts';
import { KeyfoldError } from '../../errors.ts';
import { isNestedTooDeeply } from '../../records/json-depth.ts';
import {
  decodeCompactRecord,
  encodeCompactRecord,
  looksCompact,
  type CompactKind,
} from '../../records/compact-record.ts';
import { decodeDataRowRecord, encodeDataRowRecord, type DataRowRecord } from '../../records/data-row-record.ts';
import type { Cell, ReadCell } from './rows.ts';

/** The forms in which `seal` writes a record. */
export const RECORD_FORMS = ['compact', 'json', 'object'] as const;
export type RecordForm = (typeof RECORD_FORMS)[number];

/** What a cell holds: a record, a JSON document that may hold records in its fields, or neither. */
export type Content =
  | { readonly is: 'record'; readonly record: DataRowRecord; readonly form: RecordForm; readonly kind: CompactKind }
  | { readonly is: 'document'; readonly text: string }
  | { readonly is: 'plain' };

const PLAIN: Content = { is: 'plain' };
const BRACE = 0x7b;
const LETTER_K = 0x6b;

/**
 * Reads a cell.
 * @throws KeyfoldError `InvalidRequest` if the cell looks like a record but is not one
 */
export function contentOf(cell: ReadCell): Content {
  if (cell.kind === 'unreadable') throw new KeyfoldError('InvalidRequest', 'The field cannot be read.');
  if (cell.kind !== 'bytes') return contentOfText(cell.text, cell.kind === 'json' ? 'object' : 'json');
  // A column of bytes can hold a record as text.
  const [first] = cell.bytes;
  const text = first === BRACE || first === LETTER_K ? utf8Of(cell.bytes) : undefined;
  return text === undefined ? PLAIN : contentOfText(text, 'json');
}

function contentOfText(text: string, form: RecordForm): Content {
  if (looksCompact(text)) return { is: 'record', ...decodeCompactRecord(text), form: 'compact' };
  if (!/^\s*[{[]/.test(text)) return PLAIN;
  if (text.includes('"ParentKeyMeta"')) return { is: 'record', record: decodeDataRowRecord(text), form, kind: 'bytes' };
  return isJson(text) ? { is: 'document', text } : PLAIN;
}

const MAY_BE_RECORD =
  /"ParentKeyMeta\\*"|\bkf[12]j?\.[\w-]{100}|(?:^|")(?:eyJ(?:LZXkiO|EYXRhIjoi)|a2Y[xy](?:L|ai)[\w+/]{100})/;

/**
 * Whether a text that is not read as a record may still be one, or hold one: in quotes, behind white space, inside
 * other text, or in base64. The key of such a record is unknown.
 */
export function mayBeRecord(text: string): boolean {
  return MAY_BE_RECORD.test(text);
}

function isJson(text: string): boolean {
  if (isNestedTooDeeply(text)) throw new KeyfoldError('InvalidRequest', 'The document is nested too deeply.');
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Creates the cell for a record. If the replaced cell held bytes, the record is written as bytes. */
export function recordCell(record: DataRowRecord, form: RecordForm, kind: CompactKind, replaced: Cell): Cell {
  const compact = form === 'compact' ? encodeCompactRecord(record, kind) : undefined;
  const text = compact ?? encodeDataRowRecord(record);
  return form === 'object' ? { kind: 'json', text } : textCell(text, replaced);
}

/** Writes a changed document back to its cell. */
export function documentCell(text: string, replaced: Cell): Cell {
  return replaced.kind === 'json' ? { kind: 'json', text } : textCell(text, replaced);
}

function textCell(text: string, replaced: Cell): Cell {
  return replaced.kind === 'bytes' ? { kind: 'bytes', bytes: Buffer.from(text) } : { kind: 'text', text };
}
