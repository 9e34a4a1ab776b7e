import type { AuthConfig } from '../../src/config/app-config.ts';
import { FakeDependencies } from './fakes.ts';
import { openDoor, sampleEvent, type Event } from './http-door.ts';

/** A sample event in payload format 1.0, which a test may change. */
export interface Format1 {
  resource: string;
  path: string;
  httpMethod: string;
  multiValueHeaders: Record<string, string[]> | null;
  isBase64Encoded: boolean;
  pathParameters: Record<string, string> | null;
  requestContext: Record<string, unknown>;
}

/** One of the sample events in payload format 1.0. */
export function format1(name: string): Event & Format1 {
  return sampleEvent(name) as Event & Format1;
}

/** The status of a request, and whether any key was touched. */
export async function outcomeOf(event: Event, auth: AuthConfig = { kind: 'iam' }): Promise<string> {
  const world = new FakeDependencies();
  const { status } = await openDoor({ world, auth })(event);
  return `${status}${world.log.take().length === 0 ? '' : ', keys touched'}`;
}

export const SERVED = '200, keys touched';
