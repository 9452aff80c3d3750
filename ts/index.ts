/**
 * mio's event loop for Node.js: make an {@link EventLoop}, hand it a {@link Handler} with up to five callbacks, run it.
 * A {@link TcpServer} serves connections on it, and {@link connect} begins one.
 *
 * What can go wrong stands at {@link LoopError}.
 *
 * @module miolo
 */

export type { EventLoopConfig } from './config.ts'
export { LoopError, type LoopErrorCode, NotifyError, TimerError } from './errors.ts'
export { EventLoop } from './event-loop.ts'
export { EventSet } from './event-set.ts'
export type { Handler, Token } from './handler.ts'
export type { LoopMetrics } from './metrics.ts'
export type { AddressLike, SocketAddress } from './net/address.ts'
export type { Evented } from './net/evented.ts'
export { type ListenOptions, TcpListener } from './net/tcp-listener.ts'
export { TcpStream } from './net/tcp-stream.ts'
export { PollOpt } from './poll-opt.ts'
export { connect } from './server/connect.ts'
export { Connection } from './server/connection.ts'
export type { CloseReason, ConnectionHandler, ServerHandler } from './server/connection-handler.ts'
export type { DelimiterFraming, Framing, LengthFraming } from './server/framing.ts'
export type { ConnectionOptions, ConnectOptions, ServerOptions } from './server/options.ts'
export { type ClosedConnections, type CloseOptions, TcpServer } from './server/tcp-server.ts'
export { Sender, type SharedSender } from './sender.ts'
export type { TimeoutHandle } from './timeout-handle.ts'
