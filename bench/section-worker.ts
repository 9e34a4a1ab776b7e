/**
 * One section of the benchmark, in a process of its own: no section finds the heap and the compiled code that another left. Standard
 * output is the service's, which writes its audit and its metrics there; the result goes to the parent.
 */
import { SECTIONS, type SectionName } from './sections.ts';

const [name] = process.argv.slice(2);
const result = await SECTIONS[name as SectionName]();
process.send?.(result, () => process.exit());
