type Line = Readonly<Record<string, unknown>>;

/** The part of CloudWatch's embedded metric format that names the metrics of a line. */
interface Emf {
  readonly CloudWatchMetrics: readonly {
    readonly Namespace: string;
    readonly Dimensions: readonly (readonly string[])[];
    readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
  }[];
}

/** Captures the JSON lines that this process and its worker threads write: log lines and metrics. */
export class OutputLines {
  readonly #chunks: string[] = [];
  readonly #restore: (() => void)[] = [];

  /** Withholds all output until {@link release}. Powertools writes warnings and errors to standard error. */
  capture(): void {
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream);
      this.#restore.push(() => void (stream.write = write));
      stream.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
        this.#chunks.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
        for (const done of rest) if (typeof done === 'function') done();
        return true;
      };
    }
  }

  release(): void {
    for (const restore of this.#restore) restore();
  }

  /** Lists each log line once: its level, its message and the names of its fields. Audit lines count as log lines. */
  log(): string[] {
    return distinct(
      this.#lines()
        .filter((line) => !('_aws' in line))
        .map(
          (line) => `${String(line['level'])} ${String(line['message'])}: ${Object.keys(line).toSorted().join(', ')}`,
        ),
    );
  }

  /** Lists each metric once, with its unit and the values of its dimensions. */
  metrics(): string[] {
    return distinct(
      this.#lines()
        .filter((line) => '_aws' in line)
        .flatMap((line) =>
          (line['_aws'] as Emf).CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) => {
            const values = distinct(Dimensions.flat().map((name) => `${name}=${String(line[name])}`));
            return Metrics.map(({ Name, Unit }) => `${Namespace} ${Name} ${Unit} ${values.join(' ')}`);
          }),
        ),
    );
  }

  #lines(): Line[] {
    return this.#chunks
      .join('')
      .split('\n')
      .filter((text) => text.startsWith('{'))
      .map((text) => JSON.parse(text) as Line);
  }
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}
