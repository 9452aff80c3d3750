/** Checks of arguments. Each returns its value or throws as Node's own functions do. */

import { types } from 'node:util'

import { invalidType, invalidValue, outOfRange } from './errors.ts'

const { isUint8Array } = types

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

/** One of some words. */
export function word<T extends string>(value: unknown, name: string, words: readonly T[]): T {
  if (words.includes(value as T)) return value as T
  const expected = `one of ${words.map((each) => `'${each}'`).join(', ')}`
  throw (typeof value === 'string' ? invalidValue : invalidType)(name, expected, value)
}

/** An object whose properties are options; `undefined` stands for none. */
export function options<T extends object>(value: T | undefined, name: string): Partial<T> {
  if (value === undefined) return {}
  return object(value, name)
}

export function object<T extends object>(value: T, name: string, expected = 'an object'): T {
  if (typeof value !== 'object' || value === null) throw invalidType(name, expected, value)
  return value
}

/** A handler: an object whose callbacks, of those that it has, are functions. */
export function checkHandler<T extends object>(handler: T, callbacks: readonly string[]): T {
  object(handler, 'handler')
  for (const name of callbacks) {
    const callback = (handler as Record<string, unknown>)[name]
    if (callback !== undefined && typeof callback !== 'function') {
      throw invalidType(`handler.${name}`, 'a function', callback)
    }
  }
  return handler
}

/** Bytes: a Uint8Array, a Buffer among them. */
export function bytes(value: unknown, name: string): Uint8Array {
  if (!isUint8Array(value)) throw invalidType(name, 'a Uint8Array', value)
  return value
}

/** How many bytes there really are, whatever a subclass says. */
export const lengthOf = intrinsic('length')
const offsetOf = intrinsic('byteOffset')
const bufferOf = intrinsic('buffer')

/** A view of some of the bytes, whatever a subclass says. */
export function partOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bufferOf(bytes), offsetOf(bytes) + start, end - start)
}

function intrinsic<K extends keyof Uint8Array>(name: K): (bytes: Uint8Array) => Uint8Array[K] {
  const { prototype } = Object.getPrototypeOf(Uint8Array)
  return Function.prototype.call.bind(
    Object.getOwnPropertyDescriptor(prototype, name)?.get as never,
  )
}
