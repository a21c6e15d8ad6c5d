//! What is large: results beyond what a message of the broker holds, lines beyond every limit, and
//! what they cost the process that carries them.

use serde_json::{Value, json};

use crate::stage::{Process, Stage, fixture, real, servers, told};

/// As the description of a mesh promises.
const PEAK_MAX: u64 = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn large_results_pass_and_lines_without_measure_do_not() {
    let python = real("python");
    let (modern, noisy) = (fixture("modern.py"), fixture("noisy.py"));
    let stage = Stage::new(&servers(&[
        ("modern", &python, &[modern.as_os_str()]),
        ("noisy", &python, &[noisy.as_os_str()]),
    ]));
    let process = Process::start(&stage).await;
    let caller = stage.caller().await;
    eprintln!("at rest: {} kB", process.peak() >> 10);

    let big = caller
        .call_tool("modern", "big", json!({"megabytes": 20}))
        .await;
    let text = big.expect("an answer").text();
    assert!(text.len() == 20_000_000 && text.bytes().all(|byte| byte == b'x'));
    eprintln!("after 20 MB: {} kB", process.peak() >> 10);

    for name in ["huge_line", "huge_line_id_first"] {
        let huge = caller
            .call_tool("noisy", name, json!({"megabytes": 100}))
            .await;
        let error = huge.expect_err("it is over the limit");
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR RESULT_TOO_LARGE Yes");
        assert!(error.message().contains("67108864"), "{error}");
        assert_eq!(error.context().metadata["limitBytes"], 64 << 20);
    }
    let peak = process.peak();
    eprintln!("after 100 MB: {} kB", peak >> 10);
    assert!(peak <= PEAK_MAX, "{peak} bytes");

    let again: Value = caller
        .call_tool("noisy", "echo", json!({"text": "after"}))
        .await
        .map(|said| said.text().into())
        .expect("it goes on");
    assert_eq!(again, "after");
    caller.close().await;
}
