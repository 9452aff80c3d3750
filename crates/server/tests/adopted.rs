//! Connections that one table accepts and another one serves.

mod util;

use std::io::Write;

use miolo_server::{Accepted, ConnectionHandler, Connections, ServerId, ServerOptions};
use util::{End, Open, Rig, SILENCE, close, data, dial, read_out, within_patience};

/// Keeps what is accepted.
#[derive(Default)]
struct Keeper {
    kept: Vec<Accepted>,
}

impl ConnectionHandler for Keeper {
    fn accepted(&mut self, _: ServerId, accepted: Accepted) -> Option<Accepted> {
        self.kept.push(accepted);
        None
    }
}

fn limited_to(max_connections: usize) -> ServerOptions {
    ServerOptions {
        max_connections,
        ..ServerOptions::default()
    }
}

fn adopt(table: &mut Connections, server: ServerId, keeper: &mut Rig<Keeper>) {
    keeper.until("a connection", |app| !app.script.kept.is_empty());
    table.adopt(server, keeper.app.script.kept.remove(0));
}

#[test]
fn they_live_where_they_are_adopted_and_count_where_they_were_accepted() {
    within_patience(|| {
        let (mut keeper, mut rig) = (Rig::of(Keeper::default()), Rig::echo());
        let (server, address) = keeper.serve(limited_to(1));
        let here = rig.app.table.add_server(limited_to(0));
        let mut client = dial(address);
        client.write_all(b"hello").unwrap();
        adopt(&mut rig.app.table, here, &mut keeper);
        assert_eq!(rig.app.table.count_of(here), 1);
        rig.until("data", |app| app.script.calls.len() == 2);
        let id = rig.app.script.calls[0].0;
        assert_eq!(rig.calls(id), [Open, data("hello")]);
        assert_eq!(rig.app.table.of(here), [id]);
        assert_eq!(rig.app.table.count_of(here), 1);
        assert_eq!(keeper.app.table.count_of(server), 0);

        let second = dial(address);
        keeper.until("a refusal", |app| app.table.refused(server) == 1);
        assert!(read_out(&second).0.is_empty());

        drop(client);
        rig.until_closed(id);
        assert_eq!(rig.app.table.count_of(here), 0);
        let _third = dial(address);
        keeper.until("room again", |app| !app.script.kept.is_empty());
    });
}

#[test]
fn one_that_nobody_adopts_is_closed_and_counts_no_more() {
    within_patience(|| {
        let mut keeper = Rig::of(Keeper::default());
        let (_, address) = keeper.serve(limited_to(1));
        for _ in 0..3 {
            let client = dial(address);
            keeper.until("a connection", |app| !app.script.kept.is_empty());
            keeper.app.script.kept.clear();
            assert!(read_out(&client).0.is_empty());
        }
    });
}

#[test]
fn a_server_that_is_gone_or_closing_adopts_nobody() {
    within_patience(|| {
        let (mut keeper, mut rig) = (Rig::of(Keeper::default()), Rig::idle());
        let (_, address) = keeper.serve(ServerOptions::default());
        let (gone, closing) = (
            rig.app.table.add_server(limited_to(9)),
            rig.app.table.add_server(limited_to(9)),
        );
        let clients = [dial(address), dial(address)];
        adopt(&mut rig.app.table, gone, &mut keeper);
        adopt(&mut rig.app.table, closing, &mut keeper);
        rig.app.table.remove_server(gone);
        let Rig { event_loop, app } = &mut rig;
        app.table.shut_down(event_loop, closing, None);
        assert_eq!(app.table.count_of(closing), 0);
        rig.linger(SILENCE);
        assert!(rig.app.script.calls.is_empty());
        for client in clients {
            assert!(read_out(&client).0.is_empty());
        }
    });
}

#[test]
fn they_wait_for_room() {
    within_patience(|| {
        let (mut keeper, mut rig) = (Rig::of(Keeper::default()), Rig::idle());
        let (_, address) = keeper.serve(ServerOptions::default());
        let here = rig.app.table.add_server(ServerOptions::default());
        rig.app.script.may_open = false;
        let client = dial(address);
        adopt(&mut rig.app.table, here, &mut keeper);
        rig.linger(SILENCE);
        assert!(rig.app.table.is_starved() && !rig.app.table.wants_turn());
        assert_eq!(rig.app.table.count_of(here), 1);
        rig.app.script.may_open = true;
        rig.until("it to open", |app| app.script.count(|it| *it == Open) == 1);
        let id = rig.app.script.calls[0].0;
        drop(client);
        assert_eq!(rig.until_closed(id), [Open, End, close("end")]);
    });
}
