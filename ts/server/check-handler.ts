import { invalidType } from '../errors.ts'
import { object } from '../validate.ts'
import type { ServerHandler } from './connection-handler.ts'

const CALLBACKS = ['open', 'data', 'end', 'drain', 'close', 'error'] as const

/** Throws if a handler's callbacks are none. */
export function checkHandler(handler: ServerHandler<never>): void {
  object(handler, 'handler')
  for (const name of CALLBACKS) {
    const callback: unknown = handler[name]
    if (callback !== undefined && typeof callback !== 'function') {
      throw invalidType(`handler.${name}`, 'a function', callback)
    }
  }
}
