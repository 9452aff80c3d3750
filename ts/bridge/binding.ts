/** The native module's functions, as TypeScript sees them. What they do stands beside them in crates/node. */

import * as binding from './native/binding.js'

declare const kind: unique symbol
/** A native object. It lives for as long as it is reachable from here. */
export interface Native<Kind> {
  readonly [kind]: Kind
}
export type NativeLoop = Native<'loop'>
export type NativeSocket = Native<'socket'>
export type NativeAttachment = Native<'attachment'>

export interface NativeAddress {
  address: string
  port: number
}

interface Binding {
  readonly DRIVER_THREAD: number
  readonly DRIVER_EMBEDDED: number
  readonly DRIVER_AUTO: number
  loopOpen(settings: NativeSettings, memory: Int32Array): NativeLoop | number
  loopRun(loop: NativeLoop, pump: () => void): number
  loopRest(loop: NativeLoop): void
  loopTurn(loop: NativeLoop, milliseconds: number): void
  loopFlush(loop: NativeLoop): void
  loopLookOut(loop: NativeLoop): void
  loopSpin(loop: NativeLoop): void
  loopWake(loop: NativeLoop): void
  loopNow(loop: NativeLoop): number
  loopKeepAlive(loop: NativeLoop, keep: boolean): void
  loopInterrupt(loop: NativeLoop): void
  loopWhy(loop: NativeLoop): string | null
  loopShare(loop: NativeLoop, lanes: Int32Array, capacity: number): number
  loopTakeSpilled(loop: NativeLoop, lane: number): Buffer | null
  loopClose(loop: NativeLoop): void

  senderAttach(
    id: number,
    memory: Int32Array,
    lanes: Int32Array,
  ): { attachment: NativeAttachment; lane: number; capacity: number } | number
  senderRing(attachment: NativeAttachment): boolean
  senderSpill(attachment: NativeAttachment, kind: number, bytes: Uint8Array): boolean
  readonly SENDER_LOOP_GONE: number
  readonly SENDER_NOT_SHARED: number
  readonly SENDER_NO_LANE: number

  connectionsOpen(loop: NativeLoop, memory: Int32Array): void
  connectionsTakeLarge(loop: NativeLoop): Buffer | null
  serverOpen(
    loop: NativeLoop,
    connection: NativeConnectionOptions,
    server: NativeServerOptions,
  ): number
  serverListen(loop: NativeLoop, server: number, address: string): NativeAddress | number
  serverSpread(loop: NativeLoop, server: number, other: NativeLoop, number: number): void
  serverShutDown(loop: NativeLoop, server: number, patienceMs: number): void
  serverRemove(loop: NativeLoop, server: number): void
  serverRefused(loop: NativeLoop, server: number): number
  serverConnections(loop: NativeLoop, server: number): number
  connectionConnect(
    loop: NativeLoop,
    address: string,
    options: NativeConnectionOptions,
    patienceMs: number,
  ): { slot: number; generation: number } | number
  connectionAddress(
    loop: NativeLoop,
    slot: number,
    generation: number,
    ofPeer: boolean,
  ): NativeAddress | number

  addressParse(text: string): NativeAddress | null
  listenerBind(address: string, options: NativeListenOptions): NativeSocket | number
  listenerAccept(listener: NativeSocket): { socket: NativeSocket; peer: NativeAddress } | number
  streamConnect(address: string): NativeSocket | number
  streamTransfers(): {
    read(stream: NativeSocket, into: Uint8Array): number
    write(stream: NativeSocket, from: Uint8Array): number
  }
  streamShutdown(stream: NativeSocket, how: number): number
  streamPeerAddress(stream: NativeSocket): NativeAddress | number
  streamSetNodelay(stream: NativeSocket, on: boolean): number
  streamSetKeepalive(stream: NativeSocket, seconds: number): number
  streamSetLinger(stream: NativeSocket, seconds: number): number
  socketLocalAddress(socket: NativeSocket): NativeAddress | number
  socketTakeError(socket: NativeSocket): number
  socketClose(socket: NativeSocket): void
  socketRegister(...registration: NativeRegistration): number
  socketReregister(...registration: NativeRegistration): number
  socketDeregister(loop: NativeLoop, socket: NativeSocket, slot: number): number
  readonly WOULD_BLOCK: number
  readonly ALREADY_REGISTERED: number
}

interface NativeSettings {
  eventRecords: number
  commandRecords: number
  registrations: number
  notifyCapacity: number
  messagesPerTick: number
  timerTickMs: number
  spinUs: number
  driver: number
}

interface NativeListenOptions {
  backlog: number
  reusePort: boolean
  ipv6Only: boolean
}

/** 0 milliseconds or seconds: never. */
export interface NativeConnectionOptions {
  framing: NativeFraming
  highWaterMark: number
  lowWaterMark: number
  maxWriteBuffer: number
  idleTimeoutMs: number
  lifetimeMs: number
  noDelay: boolean
  keepAlive: number
}

export interface NativeFraming {
  kind: 'raw' | 'lines' | 'delimiter' | 'length'
  max: number
  delimiter?: Buffer
  lengthBytes?: number
  littleEndian?: boolean
  offset?: number
  inclusive?: boolean
  strip?: boolean
}

export interface NativeServerOptions extends NativeListenOptions {
  maxConnections: number
  maxConnectionsPerAddress: number
}

type NativeRegistration = [
  loop: NativeLoop,
  socket: NativeSocket,
  slot: number,
  generation: number,
  interest: number,
  opt: number,
]

export const native = binding as unknown as Binding
