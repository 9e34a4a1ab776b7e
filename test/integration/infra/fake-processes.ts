/** Runs the fakes of the AWS CLI and of osls without a process, because the tests call them thousands of times. */
import type * as childProcess from 'node:child_process';
import { EventEmitter } from 'node:events';
import { promisify } from 'node:util';
import { answerAws, answerOsls, folderOf, type Reply } from './fake-cli.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Makes the mock of `node:child_process` for `vi.mock`. If code calls the AWS CLI or osls with the promisified
 * `execFile` or with `spawn`, the fakes respond. All other programs start as usual.
 */
export function withFakes(real: typeof childProcess): object {
  const run = (file: string, args: readonly string[], options: childProcess.ExecFileOptions = {}): unknown => {
    const env = options.env ?? process.env;
    if (file !== 'aws') {
      const reply = oslsReply(args, env);
      return reply === undefined ? promisify(real.execFile)(file, args, options) : ended(reply);
    }
    const folder = folderOf(env);
    if (folder === undefined)
      return withStdin(Promise.reject(Object.assign(new Error('spawn aws'), { code: 'ENOENT' })));
    if (args[0] === '--version') return ended(answerAws(folder, args, env));
    // The AWS CLI may prompt for an MFA code, so the fake responds only after its input has ended.
    const input = Promise.withResolvers<void>();
    return withStdin(
      input.promise.then(() => ended(answerAws(folder, args, env))),
      input.resolve,
    );
  };
  const spawn = (file: string, args: readonly string[], options: childProcess.SpawnOptions): unknown => {
    const reply = oslsReply(args, options.env ?? {});
    if (reply === undefined) return real.spawn(file, args, options);
    const child = new EventEmitter();
    setImmediate(() => child.emit('exit', reply.code));
    return child;
  };
  const execFile = Object.assign(real.execFile.bind(real), { [promisify.custom]: run });
  return { ...real, execFile, spawn };
}

function oslsReply([program = '', ...args]: readonly string[], env: Environment): Reply | undefined {
  const folder = folderOf(env);
  return program.endsWith('/serverless.js') && folder !== undefined ? answerOsls(folder, args, env) : undefined;
}

/** Adds the child's standard input, which the parent ends, to the promise of a process. */
function withStdin(running: Promise<unknown>, end = () => {}): object {
  return Object.assign(running, { child: { stdin: { end } } });
}

/** What the promisified `execFile` returns after a process has ended. */
async function ended(reply: Reply): Promise<Reply> {
  if (reply.code !== 0) throw Object.assign(new Error(`exit code ${reply.code}`), reply);
  return reply;
}
