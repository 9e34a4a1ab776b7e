import * as v from 'valibot';
import { isRegionName } from '../src/records/ids.ts';

/**
 * The end of every region's name: a compass direction or `central`, and a number. This check finds typing errors. It
 * does not use a list of regions, which would refuse the regions that AWS adds later.
 */
const DIRECTION = /-(?:(?:north|south)(?:east|west)?|east|west|central)-\d$/;
export const REGION = v.pipe(
  v.string(),
  v.check((name) => isRegionName(name) && DIRECTION.test(name), 'is not a region'),
);
/** The schema of a string that matches `form`. For any other string, the schema reports `message`. */
export const arn = (form: RegExp, message: string) => v.pipe(v.string(), v.regex(form, message));
export const whole = (least: number, most: number) =>
  v.pipe(
    v.number(),
    v.integer('is not a whole number'),
    v.minValue(least, `is below ${least}`),
    v.maxValue(most, `is above ${most}`),
  );
export const text = v.pipe(v.string(), v.nonEmpty('is empty'));
