/** The hot library against the floor: what a cache, ids, policy and errors cost. */
import { createSecretKey, randomBytes } from 'node:crypto';
import { race, timesAsLong } from './compare.ts';
import { SIZE_NAMES, SIZES, type Figure, type SectionResult } from './figures.ts';
import { floorDecrypt, floorEncrypt } from './floor.ts';
import { openKeyfold } from './keyfold.ts';

/** Measures it. 1 is the floor's own speed. */
export async function measureLibrary(): Promise<SectionResult> {
  const { encrypt, decrypt } = openKeyfold();
  const parent = createSecretKey(randomBytes(32));
  const figures: Figure[] = [];
  for (const size of SIZE_NAMES) {
    const plaintext = randomBytes(SIZES[size]);
    const record = await encrypt(plaintext);
    const floorRecord = floorEncrypt(parent, plaintext);
    const races = {
      encrypt: { floor: () => floorEncrypt(parent, plaintext), keyfold: () => encrypt(plaintext) },
      decrypt: { floor: () => floorDecrypt(parent, floorRecord), keyfold: () => decrypt(record) },
    };
    for (const [operation, contestants] of Object.entries(races)) {
      const { floor, keyfold } = await race(contestants, { rounds: 61, roundMs: 30 });
      const byCpu = timesAsLong(floor, keyfold, 'cpuMs').value;
      figures.push({ name: `${operation} ${size}`, ...timesAsLong(floor, keyfold), byCpu, unit: '×' });
    }
  }
  return { figures };
}
