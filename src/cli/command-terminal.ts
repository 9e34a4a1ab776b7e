import type { CommandTerminal, Terminal } from './dependencies.ts';
import { printable, printableLines } from './text.ts';

/**
 * Wraps a terminal, so that hidden and control characters are escaped in every line. It removes the progress line
 * before it writes another line. Otherwise, both would be on the same line of the terminal.
 */
export function commandTerminal(terminal: Terminal): CommandTerminal {
  const { audit, status, ask } = terminal;
  let isShown = false;
  const show = (text: string): void => {
    if (text !== '' || isShown) status?.(printable(text));
    isShown = text !== '';
  };
  return {
    out: (lines, colour) => {
      show('');
      terminal.out(printableLines(lines), colour);
    },
    err: (lines) => {
      show('');
      terminal.err(printableLines(lines));
    },
    audit:
      audit &&
      ((line) => {
        show('');
        return audit(line);
      }),
    status: status && show,
    ask: ask && ((question) => ask(printable(question))),
  };
}
