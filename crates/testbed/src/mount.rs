//! File systems that come and go.

use std::path::PathBuf;
use std::process::Command;

use crate::TestbedError;

/// A file system in memory, mounted as long as this lives.
#[derive(Debug)]
pub struct MemoryMount(PathBuf);

impl MemoryMount {
    /// Mounts one in that folder, which is made.
    ///
    /// # Errors
    /// [`TestbedError::Command`] where this user may not mount.
    pub fn at(path: PathBuf) -> Result<Self, TestbedError> {
        std::fs::create_dir_all(&path).map_err(TestbedError::file(&path))?;
        let done = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&path).output();
        match done {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => {
                Err(TestbedError::command("mount", String::from_utf8_lossy(&output.stderr)))
            }
            Err(error) => Err(TestbedError::command("mount", error)),
        }
    }
}

impl Drop for MemoryMount {
    fn drop(&mut self) {
        // Lazily: somebody may still read in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
