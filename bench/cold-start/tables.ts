import type { ColdStarts } from './measure.ts';
import type { ColdStart, Starter } from './starts.ts';
import type { BundleSize } from './sizes.ts';

const COLUMNS: readonly (keyof ColdStart)[] = [
  'loadCpuMs',
  'startCpuMs',
  'requestCpuMs',
  'requestWallMs',
  'coldWallMs',
  'warmWallMs',
  'peakMiB',
];
const ROWS: Readonly<Record<Starter, string>> = {
  empty: 'an empty handler',
  plain: '`api`, bundled by esbuild alone',
  built: '`api`, as built',
  preloaded: '`api`, with the System Key preloaded',
};

/** Formats the measurements as Markdown tables. */
export function tablesOf({ medians, ratio, rounds, calls }: ColdStarts, sizes: readonly BundleSize[]): string {
  const starts = (Object.keys(ROWS) as Starter[]).map((name) => {
    const cells = COLUMNS.map((column) => medians[name][column].toFixed(column === 'warmWallMs' ? 1 : 0));
    return `| ${ROWS[name]} | ${cells.join(' | ')} |`;
  });
  const bundles = sizes.map(
    ({ handler, atOnceBytes, totalBytes }) => `| ${handler} | ${kib(atOnceBytes)} | ${kib(totalBytes)} |`,
  );
  return `
The first table shows medians of ${rounds} rounds under Lambda's runtime emulator, in milliseconds. Importing the built
bundle takes **${ratio.value.toFixed(2)} times** the CPU time of a bundle that esbuild makes alone (quartiles ${ratio.lower.toFixed(2)} to ${ratio.upper.toFixed(2)}).

| handler | import, CPU | process until then, CPU | first request, CPU | first request, wall | start and first response, wall | warm response, wall | peak memory, MiB |
| --- | --- | --- | --- | --- | --- | --- | --- |
${starts.join('\n')}

| bundle | loaded before the first request, KiB | in total, KiB |
| --- | --- | --- |
${bundles.join('\n')}

| the first request of a process | calls |
| --- | --- |
| partition and System Key exist | ${calls.ofKnownPartition} |
| the service has no keys yet | ${calls.ofNewService} |
`;
}

function kib(bytes: number): string {
  return (bytes / 1024).toFixed(0);
}
