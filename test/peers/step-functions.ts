import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { close, listen } from '../../emulators/listen.ts';
import { startMoto } from './processes.ts';

/** The addresses of the services that a state machine calls. */
export interface CalledServices {
  readonly lambda: string;
  readonly dynamoDb: string;
}

/** How an execution ended, as `DescribeExecution` reports it. */
export interface Execution {
  readonly status: string;
  readonly output?: string;
  readonly error?: string;
  readonly cause?: string;
}

const PAUSE_MS = 200;

/**
 * Runs a state machine with moto's interpreter until it ends.
 * @param definition in Amazon States Language
 */
export async function runStateMachine(definition: string, input: object, services: CalledServices): Promise<Execution> {
  const front = await startFront(services);
  // By default, the interpreter sends all its calls to moto's own port. This variable makes it send them to the
  // forwarding server.
  const moto = await startMoto({ MOTO_PORT: String(front.port) });
  try {
    await fetch(`${moto.endpoint}/moto-api/config`, {
      method: 'POST',
      body: JSON.stringify({ stepfunctions: { execute_state_machine: true } }),
    });
    const stateMachine = {
      name: 'machine',
      definition,
      roleArn: 'arn:aws:iam::111122223333:role/machine',
    };
    const { stateMachineArn } = await call<{ stateMachineArn: string }>(
      moto.endpoint,
      'CreateStateMachine',
      stateMachine,
    );
    const started = { stateMachineArn, name: 'execution', input: JSON.stringify(input) };
    const { executionArn } = await call<{ executionArn: string }>(moto.endpoint, 'StartExecution', started);
    for (;;) {
      const execution = await call<Execution>(moto.endpoint, 'DescribeExecution', { executionArn });
      if (execution.status !== 'RUNNING') return execution;
      await sleep(PAUSE_MS);
    }
  } finally {
    await moto.stop();
    await front.stop();
  }
}

async function call<Result>(endpoint: string, action: string, input: object): Promise<Result> {
  const headers = {
    'x-amz-target': `AWSStepFunctions.${action}`,
    'content-type': 'application/x-amz-json-1.0',
    authorization: 'AWS4-HMAC-SHA256 Credential=local/20261128/us-west-2/states/aws4_request',
  };
  const answer = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(input) });
  if (!answer.ok) throw new Error(`${action}: ${await answer.text()}`);
  return (await answer.json()) as Result;
}

/** Starts a server that forwards each of the interpreter's requests to Lambda or DynamoDB. */
async function startFront({ lambda, dynamoDb }: CalledServices): Promise<{ port: number; stop: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    const kept = Object.entries(headers).filter(([name]) => /^(?:x-amz-|content-type$|authorization$)/.test(name));
    const base = url.startsWith('/2015-03-31/functions/') ? lambda : dynamoDb;
    void (async () => {
      const sent = { method, headers: Object.fromEntries(kept) as Record<string, string>, body: await buffer(request) };
      const answer = await fetch(base + url, sent);
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    })();
  });
  return { port: await listen(server, 0), stop: () => close(server) };
}
