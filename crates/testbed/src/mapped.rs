//! A program that writes into a file through a memory mapping.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::TestbedError;
use crate::install::require_program;

/// Maps the file that it is told first, then stores each line that it is told at its beginning, and
/// says so.
const PROGRAM: &str = "
import mmap, sys
print('begun', flush=True)
with open(sys.stdin.buffer.readline()[:-1], 'r+b') as file:
    mapping = mmap.mmap(file.fileno(), 0)
print('mapped', flush=True)
for line in sys.stdin.buffer:
    mapping[:len(line) - 1] = line[:-1]
    print('stored', flush=True)
";

/// The program, which maps nothing yet: until it is itself it holds whatever this process has open.
#[derive(Debug)]
pub struct Mapper(Mapped);

/// The program. It unmaps the file when it is dropped.
#[derive(Debug)]
pub struct Mapped {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Mapper {
    /// Starts it.
    ///
    /// # Errors
    /// There is no Python.
    pub fn start() -> Result<Self, TestbedError> {
        require_program("python3", "python3")?;
        let failed = |message: &dyn ToString| TestbedError::start("mapping", message.to_string());
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| failed(&"no output"))?;
        let mut mapped = Mapped { child, orders, answers: BufReader::new(answers) };
        mapped.hear("begun")?;
        Ok(Self(mapped))
    }

    /// Maps a file that is not empty, and has no line feed in its name.
    ///
    /// # Errors
    /// There is no such file.
    pub fn map(self, path: &Path) -> Result<Mapped, TestbedError> {
        let mut mapped = self.0;
        mapped.tell(path.as_os_str().as_encoded_bytes())?;
        mapped.hear("mapped")?;
        Ok(mapped)
    }
}

impl Mapped {
    /// Maps a file that is not empty, and has no line feed in its name.
    ///
    /// # Errors
    /// There is no Python, or no such file.
    pub fn open(path: &Path) -> Result<Self, TestbedError> {
        Mapper::start()?.map(path)
    }

    /// Stores a text without a line feed, and not longer than the file, at its beginning.
    ///
    /// # Errors
    /// The program ended.
    pub fn store(&mut self, text: &str) -> Result<(), TestbedError> {
        self.tell(text.as_bytes())?;
        self.hear("stored")
    }

    fn tell(&mut self, line: &[u8]) -> Result<(), TestbedError> {
        let failed = |message: &dyn ToString| TestbedError::command("mapping", message.to_string());
        let orders = self.orders.as_mut().ok_or_else(|| failed(&"it ended"))?;
        orders.write_all(&[line, b"\n"].concat()).map_err(|error| failed(&error))
    }

    fn hear(&mut self, word: &str) -> Result<(), TestbedError> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(_) if line.trim_end() == word => Ok(()),
            Ok(_) => Err(TestbedError::command("a program that maps a file", line)),
            Err(error) => Err(TestbedError::command("a program that maps a file", error)),
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.orders = None;
        // It reads the end of its orders and ends.
        let _ = self.child.wait();
    }
}
