import vm from 'node:vm';
import fc from 'fast-check';

/**
 * Makes the odd values that a JavaScript caller may pass. Each use needs new values, because some of them change when
 * they are used.
 */
const MADE: readonly (() => unknown)[] = [
  () => 'héllo',
  () => new String('tenant'),
  () => new Number(5),
  () => Number.NaN,
  () => Infinity,
  () => -1,
  () => 0.5,
  () => 2 ** 53,
  () => Symbol('s'),
  () => 10n,
  () => null,
  () => [],
  () => new Uint8Array(32),
  () => new Uint8Array(vm.runInNewContext('new Uint8Array([1, 2, 255]).buffer') as ArrayBuffer),
  () => vm.runInNewContext('new Uint8Array([1, 2, 255])'),
  () => vm.runInNewContext('({ deadlineAtMs: 1, shareDataRowKey: true })'),
  () => new Uint16Array([256, 257]),
  () => new Uint8ClampedArray([1, 2]),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Uint8Array(new SharedArrayBuffer(8)).fill(7),
  () => new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })).fill(7),
  outOfBounds,
  detached,
  () => new Proxy(new Uint8Array(4), {}),
  () => Object.create(Uint8Array.prototype) as unknown,
  () => new ShortArray([1, 2, 3]),
  () => Object.defineProperty(new Uint8Array([1, 2, 3]), 'length', { value: 1 }),
  () => Object.defineProperty(Buffer.from([1, 2, 3]), 'toString', { value: () => 'AAAA' }),
  revoked,
  throwing,
  () => ({ [Symbol.toPrimitive]: throwAway, toString: throwAway, toJSON: throwAway }),
  () => new Map([['service', 'svc']]),
  () => new Date(0),
  () => Promise.resolve(5),
  () => AbortSignal.timeout(1e6),
  () => () => 'x',
  () => async () => 5,
  () => () => undefined,
  () => Map,
];

/** Generates arbitrary JavaScript values. Some of them are wrapped, because fast-check itself would fail on them. */
export const hostile: fc.Arbitrary<() => unknown> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...MADE) },
  {
    weight: 1,
    arbitrary: fc
      .anything({
        withBigInt: true,
        withBoxedValues: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withNullPrototype: true,
        withObjectString: true,
        withSparseArray: true,
        withTypedArray: true,
      })
      .map((value) => () => value),
  },
);

class ShortArray extends Uint8Array {
  override get length(): number {
    return 1;
  }
  override get byteLength(): number {
    return 1;
  }
  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(1);
  }
}

/**
 * The bytes of a Uint8Array, even if its properties return false values. Undefined for any other value, or if the
 * array's buffer is detached.
 */
export function realBytesOf(value: unknown): Buffer | undefined {
  try {
    return Object.prototype.toString.call(value) === '[object Uint8Array]' && ArrayBuffer.isView(value)
      ? Buffer.from(new Uint8Array(value as Uint8Array))
      : undefined;
  } catch {
    return undefined;
  }
}

export function detached(): Uint8Array {
  const bytes = new Uint8Array([1, 2, 3]);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

export function outOfBounds(): Uint8Array {
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
  const bytes = new Uint8Array(buffer, 4, 4);
  buffer.resize(2);
  return bytes;
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** An object that throws on every access. */
function throwing(): unknown {
  const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const;
  return new Proxy({}, Object.fromEntries(traps.map((trap) => [trap, throwAway])));
}

function throwAway(): never {
  throw new Error('from a getter');
}

/** Replaces one value in a list of arguments: an argument, a member of an argument, or an additional member. */
export function withValueAt(args: readonly unknown[], at: number, value: unknown): unknown[] {
  const paths = pathsOf(args);
  if (paths.length === 0) return [value];
  return replaced(args, paths[at % paths.length] ?? [], value) as unknown[];
}

type Path = readonly string[];

function pathsOf(value: unknown, to: Path = []): Path[] {
  if (!isPlain(value)) return [];
  const paths: Path[] = Array.isArray(value) ? [] : [to.concat('expireAfter')];
  for (const [name, member] of Object.entries(value)) {
    const path = to.concat(name);
    paths.push(path, ...pathsOf(member, path));
  }
  return paths;
}

function replaced(value: unknown, [first, ...rest]: Path, by: unknown): unknown {
  if (first === undefined) return by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  copy[first] = replaced(copy[first], rest, by);
  return copy;
}

function isPlain(value: unknown): value is object {
  if (Array.isArray(value)) return true;
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
