use crate::{EventLoop, EventSet, Token};

/// What an [`EventLoop`] calls. Every callback has an empty default.
///
/// A callback may call anything on the loop it is given. One that panics ends [`EventLoop::run`] with
/// that panic; the loop can be run again, and what was not yet delivered is delivered then.
pub trait Handler: Sized {
    /// The payload of a timer.
    type Timeout;

    /// The message of a [`Sender`](crate::Sender).
    type Message: Send;

    /// A registered source has news. At most once for each registration in an iteration.
    fn ready(&mut self, event_loop: &mut EventLoop<Self>, token: Token, events: EventSet) {
        let _ = (event_loop, token, events);
    }

    /// A message has come through the channel.
    fn notify(&mut self, event_loop: &mut EventLoop<Self>, message: Self::Message) {
        let _ = (event_loop, message);
    }

    /// A timer is due; this is its payload.
    fn timeout(&mut self, event_loop: &mut EventLoop<Self>, timeout: Self::Timeout) {
        let _ = (event_loop, timeout);
    }

    /// A signal, or [`Wakeup::interrupt`](crate::Wakeup::interrupt), has ended the poll.
    fn interrupted(&mut self, event_loop: &mut EventLoop<Self>) {
        let _ = event_loop;
    }

    /// The iteration is at its end; nothing more of it is delivered. The place to release what its
    /// callbacks may still have needed.
    fn tick(&mut self, event_loop: &mut EventLoop<Self>) {
        let _ = event_loop;
    }
}
