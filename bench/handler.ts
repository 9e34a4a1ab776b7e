/**
 * Benchmark section: compares the time of the whole HTTP handler, from event to response, with the time of its
 * cryptography alone.
 */
import { createSecretKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { httpDoor } from '../src/doors/http.ts';
import { createTelemetry } from '../src/doors/telemetry.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import { race, timesAsLong, type RaceOptions, type Task } from './compare.ts';
import { SIZES, type Figure, type SectionResult } from './figures.ts';
import { floorDecrypt, floorEncrypt } from './floor.ts';

const FIELDS = 20;
const ITEMS = 1000;
const ITEM_BYTES = 256;
const SHARED_ITEM_BYTES = 64;
const RAW_SIZES = ['64 B', '1 KiB', '64 KiB', '1 MiB'] as const;

/** Measures the handler, which writes an audit line to standard output for each call. */
export async function measureHandler(): Promise<SectionResult> {
  const send = openHandler();
  const parent = createSecretKey(randomBytes(32));
  const figures: Figure[] = [];
  const compare = async (name: string, contestants: Pair, order: 'takes' | 'is faster by', options?: RaceOptions) => {
    const { base, subject } = await race(contestants, options);
    const [one, other] = order === 'takes' ? [subject, base] : [base, subject];
    const byCpu = timesAsLong(one, other, 'cpuMs').value;
    figures.push({ name, ...timesAsLong(one, other), byCpu, unit: '×' });
  };

  for (const size of RAW_SIZES) {
    const plaintext = randomBytes(SIZES[size]);
    const event = eventOf('encrypt', { plaintext: plaintext.toString('base64') });
    const pair = { base: () => flat(floorEncrypt(parent, plaintext)), subject: () => send(event) };
    await compare(`encrypt ${size} against the raw envelope's time`, pair, 'takes');
    const text = floorEncrypt(parent, plaintext);
    const opening = eventOf('decrypt', JSON.parse((await send(event)).toString()) as object);
    const openings = {
      base: () => flat(floorDecrypt(parent, text).toString('base64')),
      subject: () => send(opening),
    };
    await compare(`decrypt ${size} against the raw envelope's time`, openings, 'takes');
  }

  const documentValues = Array.from({ length: FIELDS }, (_, i) => `a value of some length, number ${i}`);
  const document = Object.fromEntries(documentValues.map((value, i) => [`field${i}`, value]));
  const ofFields = eventOf('encrypt-fields', { document, fields: Object.keys(document).map((name) => `$.${name}`) });
  const payloads = documentValues.map((value) => Buffer.from(JSON.stringify(value)));
  const fields = {
    base: () => payloads.map((payload) => flat(floorEncrypt(parent, payload))),
    subject: () => send(ofFields),
  };
  await compare("encrypt-fields of 20 values against 20 raw envelopes' time", fields, 'takes');

  const items = itemsOf(ITEM_BYTES);
  const batch = eventOf('encrypt-batch', { items });
  const singles = items.map((item) => eventOf('encrypt', item));
  const calls = async (): Promise<void> => {
    for (const event of singles) await send(event);
  };
  const batched = { base: calls, subject: () => send(batch) };
  await compare('a batch of 1,000 × 256 B against 1,000 calls', batched, 'is faster by', { roundMs: 150 });
  const shared = eventOf('encrypt-batch', { items, shareDataRowKey: true });
  const batchedShared = { base: calls, subject: () => send(shared) };
  const batchedSharedName = 'a batch of 1,000 × 256 B that shares a Data Row Key against 1,000 calls';
  await compare(batchedSharedName, batchedShared, 'is faster by', { roundMs: 150 });

  const small = itemsOf(SHARED_ITEM_BYTES);
  const apart = eventOf('encrypt-batch', { items: small });
  const together = eventOf('encrypt-batch', { items: small, shareDataRowKey: true });
  const sharing = { base: () => send(apart), subject: () => send(together) };
  const sharingName = 'a batch of 1,000 × 64 B that shares a Data Row Key against one that does not';
  await compare(sharingName, sharing, 'is faster by', { roundMs: 150 });
  return { figures };
}

type Pair = Readonly<Record<'base' | 'subject', Task>>;

function itemsOf(sizeBytes: number): { plaintext: string }[] {
  return Array.from({ length: ITEMS }, () => ({ plaintext: randomBytes(sizeBytes).toString('base64') }));
}

/** Opens the HTTP door on a memory metastore. Returns a function that sends it an event. */
export function openHandler(): (event: APIGatewayProxyEventV2) => Promise<Buffer> {
  const telemetry = createTelemetry('bench');
  const handler = httpDoor({
    keyfold: new SessionFactory({
      service: 'bench',
      product: 'keyfold',
      metastore: new MemoryMetastore(),
      kms: new StaticKms(randomBytes(32), process.env),
      events: telemetry.events,
    }),
    telemetry,
    auth: { kind: 'iam' },
    config: { serves: {}, plaintextLimitBytes: 1_048_576, maxItems: ITEMS, deadlineMarginMs: 500 },
    health: () => ({}),
    now: Date.now,
  });
  const context = { getRemainingTimeInMillis: () => 30_000, awsRequestId: 'bench' } as unknown as Context;
  return async (event) => {
    const { statusCode, body } = await handler(event, context);
    if (statusCode !== 200) throw new Error(`the handler answered ${statusCode}: ${body}`);
    return flat(body);
  };
}

/**
 * Copies a string to bytes. V8 concatenates the parts of a string only when a program reads its characters. Without the
 * copy, the measured time would not include that work.
 */
export function flat(text = ''): Buffer {
  return Buffer.from(text, 'latin1');
}

/** An API Gateway event for an operation. */
export function eventOf(operation: string, body: object): APIGatewayProxyEventV2 {
  const sample = readFileSync(new URL('../events/api-encrypt-iam.json', import.meta.url), 'utf8');
  const event = JSON.parse(sample) as APIGatewayProxyEventV2;
  const rawPath = `/v1/partitions/tenant-1/${operation}`;
  return { ...event, rawPath, pathParameters: { partition: 'tenant-1', operation }, body: JSON.stringify(body) };
}
