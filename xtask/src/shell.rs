//! Running commands: each is printed before it starts, each stage is timed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a step of this tool comes to: nothing, or the sentence that says what failed.
pub(crate) type Outcome = Result<(), String>;

/// The repository's root, whatever directory the tool was started in.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// A `cargo` command at the root, with the lock file as it is committed.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    if arguments.first() != Some(&"fmt") {
        command.arg("--locked");
    }
    command
}

/// Prints a command and runs it to its end.
pub(crate) fn run(mut command: Command) -> Outcome {
    announce(&command);
    let status = command.status().map_err(|error| format!("could not start {}: {error}", shown(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", shown(&command))) }
}

/// Runs a command quietly and returns what it wrote to standard output.
pub(crate) fn output(mut command: Command) -> Result<String, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("could not start {}: {error}", shown(&command)))?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", shown(&command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} wrote text that is no UTF-8", shown(&command)))
}

/// Prints the command line, with the variables that the tool itself sets.
pub(crate) fn announce(command: &Command) {
    println!("$ {}", shown(command));
}

/// Runs one stage and returns its result and how long it took.
#[expect(
    clippy::disallowed_methods,
    reason = "stage times are shown to a reader, nothing is decided on them"
)]
pub(crate) fn timed<T>(name: &str, stage: impl FnOnce() -> T) -> (T, Duration) {
    println!("\n== {name}");
    let started = std::time::Instant::now();
    let result = stage();
    (result, started.elapsed())
}

fn shown(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| {
            Some(format!("{}='{}'", name.to_string_lossy(), value?.to_string_lossy()))
        })
        .collect();
    let program = Path::new(command.get_program());
    words.push(program.file_stem().unwrap_or(program.as_os_str()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = cargo(&["test", "--workspace"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(shown(&command), "RUSTDOCFLAGS='-D warnings' cargo test --workspace --locked");
    }

    #[test]
    fn a_command_that_fails_is_an_error_that_names_it() {
        let mut command = cargo(&["no-such-command"]);
        command.stderr(Stdio::null());
        let message = run(command).expect_err("cargo has no such command");
        assert!(message.contains("cargo no-such-command --locked failed"), "{message}");
    }

    #[test]
    fn a_stage_hands_its_result_through() {
        assert_eq!(timed("stage", || 7).0, 7);
    }
}
