import type { Context } from 'aws-lambda';
import type { DoorConfig } from '../../src/config/app-config.ts';
import { directDoor } from '../../src/doors/direct.ts';
import { createTelemetry } from '../../src/doors/telemetry.ts';
import { FakeDependencies } from './fakes.ts';
import { DOOR_CONFIG, lambdaContext } from './http-door.ts';

/** How an invocation ended: with its response payload, or with an error as Lambda reports it to the caller. */
export interface Invoked {
  readonly payload?: string;
  readonly error?: { readonly errorType: string; readonly errorMessage: string; readonly trace: string[] };
  /** The text that Lambda's runtime itself logs about an error. */
  readonly runtimeLog?: string;
}

/**
 * Opens a direct door, and takes the steps that Lambda's runtime takes before and after a handler. Returns a function
 * that sends a payload to the door. The steps are those of aws-lambda-ric 4.0.2: `JSON.parse`, `JSON.stringify`,
 * `formatError` and `withEnumerableProperties`.
 */
export function openDirectDoor(
  options: { world?: FakeDependencies; config?: Partial<DoorConfig> } = {},
): (payload: string | object, context?: Context) => Promise<Invoked> {
  const world = options.world ?? new FakeDependencies();
  const handler = directDoor({
    keyfold: world.process(),
    now: world.clock.now,
    telemetry: createTelemetry('svc'),
    config: { ...DOOR_CONFIG, ...options.config },
  });
  return async (payload, context = lambdaContext()) => {
    const event: unknown = JSON.parse(typeof payload === 'string' ? payload : JSON.stringify(payload));
    try {
      return { payload: JSON.stringify(await handler(event, context)) };
    } catch (thrown) {
      const error = thrown as Error;
      const { name: errorType, message: errorMessage, stack = '' } = error;
      const logged = {
        errorType,
        errorMessage,
        ...Object.fromEntries(Object.entries(error)),
        stack,
        cause: error.cause,
      };
      return { error: { errorType, errorMessage, trace: stack.split('\n') }, runtimeLog: JSON.stringify(logged) };
    }
  };
}
