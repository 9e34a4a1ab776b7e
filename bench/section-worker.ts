/**
 * Runs one section of the benchmark in its own process, so that it finds a fresh heap and no compiled code.
 * The service writes audit lines and metrics to standard output, so the result goes to the parent as a message.
 */
import { SECTIONS, type SectionName } from './sections.ts';

const [name] = process.argv.slice(2);
const result = await SECTIONS[name as SectionName]();
process.send?.(result, () => process.exit());
