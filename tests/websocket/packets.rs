//! The packets of Socket.IO, as random texts.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::sockets::socket_io::{Kind, LARGEST_ID, Message, Packet, event_of};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(
        kind in prop::sample::select(vec![
            Kind::Connect, Kind::Disconnect, Kind::Event, Kind::Ack, Kind::ConnectError,
        ]),
        namespace in "/[^,]{0,30}",
        id in prop::option::of(0..=LARGEST_ID),
        // After an id or instead of one, JSON that begins with a digit would be another id.
        values in prop::option::of(prop::collection::vec(any_json(), 0..3)),
    ) {
        let json = values.as_ref().map(|values| json!(values).to_string()).unwrap_or_default();
        let written = Message { kind, namespace: &namespace, id, json: &json };
        let text = written.to_string();
        let Ok(Packet::Message(read)) = Packet::read(&text) else { panic!("{text} is not read") };
        prop_assert_eq!((read.kind, read.namespace, read.id), (kind, &*namespace, id));
        prop_assert_eq!(read.value().unwrap(), values.map(Value::from));
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn no_text_makes_it_panic(
        text in prop_oneof![any::<String>(), "[0-6]{0,3}(/[a-z]{0,3},?)?[0-9]{0,25}[\\[\\]{}\",a-z0-9:]{0,12}", "4[0-9]\\PC*"],
    ) {
        match Packet::read(&text) {
            Ok(Packet::Message(message)) => {
                _ = (message.event(), message.value());
                // What was read can be written, and is then read as the same. Nobody writes attachments.
                if message.value().is_ok() && !matches!(message.kind, Kind::BinaryEvent | Kind::BinaryAck) {
                    let written = message.to_string();
                    let Ok(Packet::Message(again)) = Packet::read(&written) else { panic!("{written}") };
                    prop_assert_eq!(again.to_string(), written);
                }
            }
            Ok(Packet::Close) => {}
            Err(error) => prop_assert_eq!(error.status(), 400),
        }
    }

    #[test]
    fn a_client_reads_every_push_as_it_was(name in any::<String>(), data in any_json()) {
        let frame = serde_json::to_vec(&json!({"event": name, "data": data})).unwrap();
        let packet = event_of(&frame).unwrap();
        let Ok(Packet::Message(message)) = Packet::read(str::from_utf8(&packet).unwrap()) else { panic!() };
        prop_assert_eq!(message.event().unwrap(), (name, data));
    }
}
