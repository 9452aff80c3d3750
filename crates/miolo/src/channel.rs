use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_queue::ArrayQueue;

use crate::wakeup::Bed;

/// Sends messages to an [`EventLoop`](crate::EventLoop), whose handler gets them in
/// [`notify`](crate::Handler::notify).
///
/// Clone it freely; the messages of each clone arrive in the order in which it sent them.
///
/// ```
/// use miolo::{EventLoop, Handler};
///
/// struct Sum(u32);
///
/// impl Handler for Sum {
///     type Timeout = ();
///     type Message = u32;
///
///     fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: u32) {
///         self.0 += message;
///         if self.0 == 6 {
///             event_loop.shutdown();
///         }
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// let sender = event_loop.channel();
/// let thread = std::thread::spawn(move || (1..=3).for_each(|i| sender.send(i).unwrap()));
///
/// event_loop.run(&mut Sum(0))?;
/// thread.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Sender<M> {
    channel: Arc<Channel<M>>,
}

impl<M> Sender<M> {
    pub(crate) fn new(channel: Arc<Channel<M>>) -> Sender<M> {
        Sender { channel }
    }

    /// Queues a message, and wakes the loop if it sleeps. Never blocks.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Full`] if as many messages wait as
    /// [`notify_capacity`](crate::EventLoopConfig::notify_capacity) allows; [`NotifyError::Closed`] if
    /// the loop has been dropped. Both give the message back.
    pub fn send(&self, message: M) -> Result<(), NotifyError<M>> {
        self.channel.push(message)?;
        self.channel.bed.message();
        Ok(())
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Sender<M> {
        Sender {
            channel: Arc::clone(&self.channel),
        }
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Why a message was not sent.
#[derive(thiserror::Error)]
pub enum NotifyError<M> {
    /// The loop could not be told of the message.
    #[error("the event loop could not be woken")]
    Io(#[source] io::Error),

    /// As many messages wait as may. Here is yours back.
    #[error("the event loop's channel is full")]
    Full(M),

    /// The loop has been dropped. Here is your message back.
    #[error("the event loop is closed")]
    Closed(Option<M>),
}

impl<M> fmt::Debug for NotifyError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotifyError::Io(error) => f.debug_tuple("Io").field(error).finish(),
            NotifyError::Full(_) => f.write_str("Full(..)"),
            NotifyError::Closed(_) => f.write_str("Closed(..)"),
        }
    }
}

/// The messages that wait for a loop.
pub(crate) struct Channel<M> {
    queue: ArrayQueue<M>,
    closed: AtomicBool,
    bed: Arc<Bed>,
}

impl<M> Channel<M> {
    pub(crate) fn new(capacity: usize, bed: Arc<Bed>) -> Channel<M> {
        Channel {
            queue: ArrayQueue::new(capacity),
            closed: AtomicBool::new(false),
            bed,
        }
    }

    pub(crate) fn push(&self, message: M) -> Result<(), NotifyError<M>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(NotifyError::Closed(Some(message)));
        }
        self.queue.push(message).map_err(NotifyError::Full)?;
        // With the fence in `close`: either `close` sees the message, or this sees that it came too late.
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            self.clear();
        }
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<M> {
        self.queue.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Drops what is queued, and whatever comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        while self.queue.pop().is_some() {}
    }
}
