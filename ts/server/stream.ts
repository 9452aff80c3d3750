/** A connection as a node:stream. */

import { Duplex } from 'node:stream'

import type { CloseReason } from './connection-handler.ts'
import type { Connection } from './connection.ts'
import type { ConnectionEnd } from './connection-end.ts'

type Done = (error?: Error | null) => void

/** The stream of a connection, which it takes over. */
export class ConnectionStream extends Duplex {
  readonly #conn: Connection
  readonly #end: ConnectionEnd<unknown>
  /** The connection may have been paused before. */
  #isPaused = true
  /** Goes on with a write, or with the end, when the connection says `drain`. */
  #waiting: Done | undefined
  /** Says that it has been destroyed, once the connection has closed. */
  #destroyed: (() => void) | undefined

  constructor(conn: Connection, end: ConnectionEnd<unknown>) {
    super({ allowHalfOpen: end.allowHalfOpen, autoDestroy: true })
    this.#conn = conn
    this.#end = end
    // The stream ends its side by itself, when all that came has been read and all that it wrote has been sent.
    end.allowHalfOpen = true
    const { handler } = end
    end.handler = {
      data: (_, chunk) => this.#take(chunk),
      end: () => void this.push(null),
      drain: () => this.#goOn(),
      close: (...told) => {
        this.#closed(told[1], told[2])
        return handler.close?.(...told)
      },
    }
    if (end.hasEnded) this.push(null)
    if (!end.isWritable) this.end()
    if (!end.isOpen) this.destroy()
  }

  override _read(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#conn.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send(chunk, done)
  }

  #send(chunk: Buffer, done: Done): void {
    // A stream takes writes of any size: what is too much waits here.
    const now = chunk.subarray(0, Math.max(this.#end.room(), 0))
    const rest = chunk.subarray(now.length)
    const goesOn = this.#conn.write(now)
    // One that was cut is about to close, and that says why.
    if (!this.#end.isWritable && !this.#end.isCut) {
      done(failed('EPIPE', 'The connection has ended'))
    } else if (goesOn && rest.length === 0) done()
    else {
      this.#waiting = (error) => {
        if (error || rest.length === 0) done(error)
        else this.#send(rest, done)
      }
      this.#end.wantDrain()
    }
  }

  override _final(done: Done): void {
    this.#conn.end()
    if (!this.#end.isOpen) return done()
    this.#waiting = done
    this.#end.wantDrain()
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#destroyed = () => {
      done(error)
      // After `close`: before, pipeline() would take it for the stream's own failure.
      process.nextTick(() =>
        this.#goOn(error ?? failed('ERR_STREAM_DESTROYED', 'The stream was destroyed')),
      )
    }
    if (!this.#end.isOpen) return this.#destroyed()
    // If both sides have ended in order it is about to close by itself.
    if (error === null && this.writableFinished && this.readableEnded) return
    // A last word is to arrive, as far as the system takes it, which a socket of Node's gives it as it is written.
    if (this.#end.buffered() > 0) this.#end.flush()
    this.#end.close()
  }

  #take(chunk: Buffer): void {
    // A view is gone when this returns; a stream keeps what it gets.
    if (this.push(this.#end.borrow === false ? chunk : Buffer.from(chunk))) return
    this.#isPaused = true
    this.#conn.pause()
  }

  #goOn(error?: Error): void {
    const done = this.#waiting
    this.#waiting = undefined
    done?.(error)
  }

  #closed(reason: CloseReason, error: Error | undefined): void {
    if (this.#destroyed !== undefined) this.#destroyed()
    else if (reason === 'end') {
      // This side may have been ended beside the stream.
      if (!this.writableEnded) this.end()
      this.#goOn()
    } else if (reason === 'aborted' || reason === 'shutdown') this.destroy()
    else this.destroy(error ?? failed(CODES[reason], `The connection was closed: ${reason}`))
  }
}

/** The codes that users of node:net know. */
const CODES: Record<string, string> = {
  reset: 'ECONNRESET',
  idle: 'ETIMEDOUT',
  lifetime: 'ETIMEDOUT',
  overflow: 'ENOBUFS',
  'frame-too-long': 'EMSGSIZE',
}

function failed(code: string | undefined, message: string): Error {
  return Object.assign(new Error(message), { code })
}
