//! Where a server is reached: docs/contract.md, "One machine".

use std::path::Path;
use std::process::Command;

use reqwest::Certificate;
use rustix::process::Signal;

use crate::harness::{Server, TestApp};
use crate::uploads::{PDF, post_to_store};

/// Makes a certificate of its own authority for `localhost`, in `cert.pem` and `key.pem`. Returns the certificate.
fn make_certificate(folder: &Path) -> Vec<u8> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "7", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(&cert);
    assert!(openssl.output().unwrap().status.success());
    std::fs::read(cert).unwrap()
}

/// The status of a request by a client that knows only this certificate, or `None` if it does not accept the server's.
async fn trusting(cert: &[u8], url: &str, upgrade: bool) -> Option<u16> {
    let roots = [Certificate::from_pem(cert).unwrap()];
    let client = reqwest::Client::builder().tls_certs_only(roots).no_proxy().build().unwrap();
    let mut request = client.get(url);
    if upgrade {
        request = request.header("connection", "upgrade").header("upgrade", "websocket");
        request = request
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test]
async fn a_server_speaks_tls_and_shows_a_renewed_certificate_after_hup() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let folder = std::env::temp_dir().join(format!("coterie_test_{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    let first = make_certificate(&folder);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let tls = [("TLS_CERT", &*file("cert.pem")), ("TLS_KEY", &*file("key.pem"))];
    let mut server = Server::start(&app, &tls).await;
    let url = format!("https://localhost:{}", server.port);
    let health = format!("{url}/health");
    assert_eq!(trusting(&first, &health, false).await, Some(200));
    assert_eq!(trusting(&first, &format!("{url}/?token={}", ann.access_token), true).await, Some(101));
    let plain = app.http.get(format!("http://localhost:{}/health", server.port)).send().await;
    assert!(plain.is_err(), "it answers plain HTTP");

    // A file that is half written leaves the certificate as it is.
    std::fs::write(folder.join("cert.pem"), &first[..first.len() / 2]).unwrap();
    server.send(Signal::HUP);
    let error = server.line_with(&["TLS_CERT"]).await.unwrap();
    assert!(error.contains("ERROR"), "{error}");
    assert_eq!(trusting(&first, &health, false).await, Some(200));

    let second = make_certificate(&folder);
    assert_eq!(trusting(&second, &health, false).await, None);
    server.send(Signal::HUP);
    server.line_with(&["the certificate is renewed"]).await.unwrap();
    assert_eq!(trusting(&second, &health, false).await, Some(200));
    assert_eq!(trusting(&first, &health, false).await, None);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_server_whose_certificate_cannot_be_used_does_not_start_and_says_why() {
    let app = TestApp::start().await;
    let folder = std::env::temp_dir().join(format!("coterie_test_{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    make_certificate(&folder);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap().to_owned(), key.to_str().unwrap().to_owned());
    let log = async |cert: &str, key: &str| {
        Server::try_start(&app, &[], &[("TLS_CERT", cert), ("TLS_KEY", key)]).await.err().expect("it ends")
    };
    assert!(log("/nowhere/cert.pem", &key).await.contains("cannot use TLS_CERT=/nowhere/cert.pem"));
    assert!(log(&cert, &cert).await.contains("cannot use TLS_KEY"));
    let other = std::fs::read(&key).unwrap();
    make_certificate(&folder);
    std::fs::write(&key, other).unwrap();
    assert!(log(&cert, &key).await.contains("cannot use TLS_KEY"), "the key is another certificate's");
    assert!(log(&cert, "").await.contains("TLS_KEY must be set"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_server_listens_beyond_this_machine_only_without_open_grants_or_when_told_so() {
    let app = TestApp::start().await;
    // The tests have open grants and no limit of registrations.
    let beyond = [("LISTEN", "0.0.0.0"), ("PUBLIC_URL", "https://chat.example")];
    let log = Server::try_start(&app, &[], &beyond).await.err().expect("it refuses");
    assert!(log.contains("SIGNUP_GRANTS=open") && log.contains("ALLOW_OPEN=registrations"), "{log}");
    let told = [beyond[0], beyond[1], ("ALLOW_OPEN", "grants,registrations")];
    let server = Server::start(&app, &told).await;
    assert_eq!(app.http.get(format!("{}/health", server.url())).send().await.unwrap().status(), 200);
    let closed = [beyond[0], beyond[1], ("SIGNUP_GRANTS", "closed"), ("REGISTER_LIMIT", "20/3600")];
    let mut server = Server::start(&app, &closed).await;
    server.signal(Signal::TERM).await;
}

#[tokio::test]
async fn files_are_sent_and_read_at_the_same_port_also_from_the_next_server_over_the_folder() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let folder = app.store_folder();
    let uploads = ["--uploads", folder.to_str().unwrap()];
    let mut server = Server::try_start(&app, &uploads, &[]).await.unwrap_or_else(|log| panic!("{log}"));
    let here = ann.at(&server.url());
    let presigned = here.presigns(room, "application/pdf", PDF.len()).await.created();
    assert_eq!(presigned["url"], format!("http://localhost:{}/store/uploads", server.port));
    assert_eq!(post_to_store(&app, &presigned, PDF).await, 204);
    here.completes(&presigned).await.created();
    let upload = presigned["uploadId"].as_str().unwrap();
    let urls = here.get(&format!("/uploads/{upload}?as=json")).await.ok();
    let url = urls["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("http://localhost:{}/store/uploads/files/", server.port)), "{url}");
    let get = async |url: &str, host: Option<&str>| {
        let mut request = app.http.get(url);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = request.send().await.unwrap();
        let sandbox = answer.headers().get("content-security-policy").cloned();
        (answer.status().as_u16(), answer.bytes().await.unwrap(), sandbox.is_some())
    };
    assert_eq!(get(url, None).await, (200, PDF.into(), true));
    // A proxy may send another host.
    assert_eq!(get(url, Some("chat.example")).await.0, 200);
    // The signature is of this file, and no other path leads out of the store.
    assert_eq!(get(&url.replacen("files/", "avatars/", 1), None).await.0, 403);
    assert_eq!(get(url.split('?').next().unwrap(), None).await.0, 403);
    let is_refused = get(&format!("{}/store", server.url()), None).await.0;
    assert!((400..500).contains(&is_refused), "{is_refused}");

    assert!(server.signal(Signal::TERM).await.success());
    let public = [("PUBLIC_URL", "http://chat.example"), ("ALLOW_OPEN", "grants,registrations")];
    let next = Server::try_start(&app, &uploads, &public).await.unwrap_or_else(|log| panic!("{log}"));
    let same = url.replace(&format!(":{}/", server.port), &format!(":{}/", next.port));
    assert_eq!(get(&same, None).await.0, 200);
    let next_ann = ann.at(&next.url());
    let presigned = next_ann.presigns(room, "application/pdf", PDF.len()).await.created();
    assert_eq!(presigned["url"], "http://chat.example/store/uploads");
    // Clients get one URL of a file for an hour.
    let again = next_ann.get(&format!("/uploads/{upload}?as=json")).await.ok();
    assert_eq!(again["url"], urls["url"]);
}
