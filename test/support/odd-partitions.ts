/** Names, separators and spellings that have a special meaning in other systems. */
const WITH_A_MEANING = ['user:42', 'Zürich/../a b', ' ', '..', '%40', 'a,b', 'a*b', '__proto__', '_svc_prod', '"\\'];
/** Control characters, format characters and noncharacters. */
const HIDDEN = [
  'a\0b',
  'a\nb',
  '\u001b[2J',
  '\u007f',
  '\u0085',
  '\u200b',
  '\u202e',
  '\u2028',
  '\ufeff',
  '\ufffe\uffff',
];

/**
 * Partitions that Asherah accepts but that no HTTP path can name.
 * @param names the names of the service, without a region suffix. They determine the longest partitions, whose key IDs
 * use all 2,048 bytes that DynamoDB allows.
 */
export function oddPartitions({ service, product }: { service: string; product: string }): readonly string[] {
  const room = 2048 - `_IK__${service}_${product}`.length;
  const long = ['x', '\u0001', '\u{1f511}'].map((letter) => letter.repeat(room / Buffer.byteLength(letter)));
  return [...WITH_A_MEANING, ...HIDDEN, '日本', '\u{1f511}\u{e0001}', ...long];
}
