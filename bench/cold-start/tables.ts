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
  plain: 'the api, as esbuild bundles it by itself',
  built: 'the api, as built',
  preloaded: 'that, with the System Key preloaded',
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
Cold starts under Lambda's runtime emulator, medians of ${rounds} rounds in turns, in milliseconds. Importing the built bundle
takes **${ratio.value.toFixed(2)}** of the CPU that the plain one takes (quartiles ${ratio.lower.toFixed(2)} to ${ratio.upper.toFixed(2)}).

| | importing it, CPU | the process until then, CPU | first request, CPU | first request, wall | first answer, the start within it, wall | warm answer, wall | peak memory, MiB |
| --- | --- | --- | --- | --- | --- | --- | --- |
${starts.join('\n')}

| bundle | loaded before the first request, KiB | all of it, KiB |
| --- | --- | --- |
${bundles.join('\n')}

| the first request of a process | calls |
| --- | --- |
| its partition and System Key are known | ${calls.ofKnownPartition} |
| its service has no keys yet | ${calls.ofNewService} |
`;
}

function kib(bytes: number): string {
  return (bytes / 1024).toFixed(0);
}
