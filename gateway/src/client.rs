//! `coterie connect`: a WebSocket client for the terminal. It sends each typed line as a message, and
//! prints each message that it receives as a line.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Runs until the socket closes or the input ends.
///
/// # Errors
/// Says, for the user, why the connection failed.
pub(crate) async fn connect(url: &str, token: &str) -> Result<(), String> {
    let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
    let (socket, _) = connect_async(format!("{url}/?token={token}")).await.map_err(|error| match error {
        Error::Http(response) if response.status() == 401 => {
            "refused (401): the access token is wrong, expired or revoked; log in for a new one".to_owned()
        }
        Error::Http(response) => format!("refused ({})", response.status()),
        error => format!("cannot connect to {url}: {error}; is `coterie serve` running there?"),
    })?;
    eprintln!("connected to {url}: type a message and press Enter; end with Ctrl-D");
    let (mut sink, mut stream) = socket.split();
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            frame = stream.next() => match frame {
                Some(Ok(Message::Text(text))) => println!("{text}"),
                Some(Ok(Message::Close(Some(close)))) => {
                    eprintln!("closed by the server: {} {}", close.code, close.reason);
                    return Ok(());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("connection lost: {error}")),
                None => return Ok(()),
            },
            line = next_line(&mut lines) => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => sink.send(Message::Text(line.into())).await.map_err(|error| format!("cannot send: {error}"))?,
                None => {
                    _ = sink.send(Message::Close(None)).await;
                    return Ok(());
                }
            },
        }
    }
}

async fn next_line(lines: &mut Lines<BufReader<Stdin>>) -> Option<String> {
    lines.next_line().await.ok().flatten()
}
