//! What workflows call: a server in this process that answers each request after a while.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Starts one; answers its URL.
pub(crate) async fn stub(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                loop {
                    // Requests come one after the other and are small; each ends with its JSON body.
                    match stream.read_buf(&mut read).await {
                        Ok(bytes) if bytes > 0 => {}
                        _ => return,
                    }
                    if read.ends_with(b"}") {
                        read.clear();
                        if !pause.is_zero() {
                            tokio::time::sleep(pause).await;
                        }
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    url
}
