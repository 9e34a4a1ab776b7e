import * as v from 'valibot';
import { isRegionName } from '../src/records/ids.ts';

export const REGION = v.pipe(v.string(), v.check(isRegionName, 'is not a region'));
/** A string that matches `form`. Otherwise the fault is `message`. */
export const arn = (form: RegExp, message: string) => v.pipe(v.string(), v.regex(form, message));
export const whole = (least: number, most: number) =>
  v.pipe(
    v.number(),
    v.integer('is not a whole number'),
    v.minValue(least, `is below ${least}`),
    v.maxValue(most, `is above ${most}`),
  );
export const text = v.pipe(v.string(), v.nonEmpty('is empty'));
