/**
 * Wraps a handler under the runtime emulator. Imports the handler, and returns its result, its times and the peak
 * memory.
 */
const before = process.cpuUsage();
const { handler: measured } = await import(process.env.MEASURED_HANDLER);
const loaded = process.cpuUsage();

export const handler = async (event, context) => {
  const askedAtMs = performance.now();
  const asked = process.cpuUsage();
  const result = await measured(event, context);
  const answered = process.cpuUsage();
  return {
    result,
    loadCpuMs: milliseconds(loaded, before),
    startCpuMs: milliseconds(loaded),
    requestCpuMs: milliseconds(answered, asked),
    requestWallMs: performance.now() - askedAtMs,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  };
};

function milliseconds(until, since = { user: 0, system: 0 }) {
  return (until.user - since.user + until.system - since.system) / 1000;
}
