/** The full HTTP handler, from event to answer, beside what it does at its core. */
import { createSecretKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { httpDoor } from '../src/doors/http.ts';
import { createTelemetry } from '../src/doors/telemetry.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import { compare, type Comparison } from './compare.ts';
import { floorEncrypt } from './floor.ts';

const FIELDS = 20;
const ITEMS = 1000;
const ITEM_BYTES = 256;

/** One figure: how long the subject took against its base, or how much more it did, and the budget for that. */
export interface Figure {
  readonly what: string;
  readonly comparison: Comparison;
  /** Of the ratio: base's time over the subject's. */
  readonly atLeast: number;
}

/** Measures the handler. Each ratio is of one run, in which the two take turns. */
export async function measureHandler(): Promise<Figure[]> {
  const send = openHandler();
  const parent = createSecretKey(randomBytes(32));
  const figures: Figure[] = [];
  for (const [name, size, mostTimes] of [
    ['64 B', 64, 2.5],
    ['1 KiB', 1024, 2.5],
    ['64 KiB', 65_536, 2],
  ] as const) {
    const plaintext = randomBytes(size);
    const event = eventOf('encrypt', { plaintext: plaintext.toString('base64') });
    const comparison = await compare(
      () => floorEncrypt(parent, plaintext),
      () => send(event),
    );
    figures.push({ what: `encrypt of ${name} against the raw envelope`, comparison, atLeast: 1 / mostTimes });
  }

  const items = Array.from({ length: ITEMS }, () => ({ plaintext: randomBytes(ITEM_BYTES).toString('base64') }));
  const batch = eventOf('encrypt-batch', { items });
  const singles = items.map((item) => eventOf('encrypt', item));
  const batched = await compare(
    async () => {
      for (const event of singles) await send(event);
    },
    () => send(batch),
  );
  figures.push({
    what: `a batch of ${ITEMS} × ${ITEM_BYTES} B against ${ITEMS} calls`,
    comparison: batched,
    atLeast: 2,
  });

  const values = Array.from({ length: FIELDS }, (_, i) => `a value of some length, number ${i}`);
  const document = Object.fromEntries(values.map((value, i) => [`field${i}`, value]));
  const fields = eventOf('encrypt-fields', { document, fields: Object.keys(document).map((name) => `$.${name}`) });
  const payloads = values.map((value) => Buffer.from(JSON.stringify(value)));
  const byField = await compare(
    () => payloads.map((payload) => floorEncrypt(parent, payload)),
    () => send(fields),
  );
  figures.push({
    what: `encrypt-fields of ${FIELDS} against ${FIELDS} raw envelopes`,
    comparison: byField,
    atLeast: 1 / 2,
  });
  return figures;
}

function openHandler(): (event: APIGatewayProxyEventV2) => Promise<unknown> {
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
    return body;
  };
}

function eventOf(operation: string, body: object): APIGatewayProxyEventV2 {
  const sample = readFileSync(new URL('../events/api-encrypt-iam.json', import.meta.url), 'utf8');
  const event = JSON.parse(sample) as APIGatewayProxyEventV2;
  return { ...event, pathParameters: { partition: 'tenant-1', operation }, body: JSON.stringify(body) };
}
