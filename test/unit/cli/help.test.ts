import { expect, it } from 'vitest';
import { OperatorFixture } from '../../support/operator.ts';

const COMMANDS = [
  [],
  ['doctor'],
  ['maintain'],
  ['inspect'],
  ['verify'],
  ['reencrypt'],
  ['keys'],
  ['keys', 'list'],
  ['keys', 'show'],
  ['keys', 'revoke'],
  ['keys', 'retire-check'],
  ['keys', 'rotate'],
  ['keys', 'prove'],
  ['partitions'],
  ['partitions', 'erase'],
  ['table'],
  ['table', 'import'],
  ['table', 'copy'],
] as const;

/** `npm test -- test/unit/cli/help.test.ts -u` rewrites the reviewed file. */
it('each command explains itself and all of its options', async () => {
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  const texts: string[] = [];
  for (const command of COMMANDS) {
    const { code, stdout, stderr } = await operator.keyfold([...command, '--help']);
    expect([command, code, stderr]).toEqual([command, 0, '']);
    texts.push(`${['$ keyfold', ...command, '--help'].join(' ')}\n${stdout}`);
  }
  await expect(texts.join('\n')).toMatchFileSnapshot('reviewed/help.txt');
});
