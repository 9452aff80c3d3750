/** Checks of arguments. Each returns its value or throws as Node's own functions do. */

import { invalidType, outOfRange } from './errors.ts'

/** A whole number between two bounds, both allowed. */
export function integer(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < min || value > max) throw outOfRange(name, `>= ${min} and <= ${max}`, value)
  return value
}

/** A number of milliseconds or seconds, fractions allowed. */
export function duration(value: unknown, name: string, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value)
  if (!(value >= 0 && value <= max)) throw outOfRange(name, `>= 0 and <= ${max}`, value)
  return value
}

export function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', value)
  return value
}

/** An object whose properties are options; `undefined` stands for none. */
export function options<T extends object>(value: T | undefined, name: string): Partial<T> {
  if (value === undefined) return {}
  return object(value, name)
}

export function object<T extends object>(value: T, name: string): T {
  if (typeof value !== 'object' || value === null) throw invalidType(name, 'an object', value)
  return value
}

/** An instance of a class, whose constructor may be private. */
export function instance<T>(value: T, type: { prototype: T; name: string }, name: string): T {
  if (Function.prototype[Symbol.hasInstance].call(type, value)) return value
  throw invalidType(name, `an instance of ${type.name}`, value)
}
