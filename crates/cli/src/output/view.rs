//! What one migration of a call has to say. Where there are several, each line says of which it is,
//! and they share the terminal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use whimbrel_engine::Progress;

use super::problem::Problems;
use super::progress::Display;
use super::result::MigrationResult;

/// What one migration says, and where.
pub struct View {
    /// To programs.
    pub json: bool,
    /// Its name, where others speak too.
    migration: Option<String>,
    display: Arc<Mutex<Display>>,
    /// Its place on the display.
    number: usize,
}

impl View {
    /// Of a migration that has the terminal to itself.
    pub fn of_one(name: &str, json: bool) -> Self {
        let display = Arc::new(Mutex::new(Display::new(&[name.to_owned()], json)));
        Self { json, migration: None, display, number: 0 }
    }

    /// One for each.
    pub fn of_several(names: &[String], json: bool) -> Vec<Self> {
        let display = Arc::new(Mutex::new(Display::new(names, json)));
        let view = |(number, name): (usize, &String)| Self {
            json,
            migration: Some(name.clone()),
            display: display.clone(),
            number,
        };
        names.iter().enumerate().map(view).collect()
    }

    /// Tells problems of the migration of that name.
    pub fn problems(&self, name: &str) -> Problems {
        let problems = Problems::new(self.json, name);
        if self.migration.is_some() { problems.among_others() } else { problems }
    }

    /// A line for programs.
    pub fn line(&self, kind: &str, mut fields: Map<String, Value>) {
        if let Some(name) = &self.migration {
            fields.insert("migration".to_owned(), name.as_str().into());
        }
        super::json_line(kind, &fields);
    }

    /// Writes something while no display stands in its way.
    pub fn quietly(&self, write: impl FnOnce()) {
        let mut display = self.display();
        display.clear();
        write();
    }

    /// Shows where it stands.
    pub fn show(&self, progress: &Progress) {
        self.display().show(self.number, progress);
    }

    /// Shows nothing of it any more.
    pub fn ended(&self) {
        self.display().remove(self.number);
    }

    /// How it ended, where the call goes on with others.
    pub fn tell_end(&self, result: &MigrationResult) {
        let name = self.migration.clone().unwrap_or_default();
        self.quietly(|| {
            if let Some(error) = &result.error {
                super::standard_error(&format!("whimbrel: {name}: {}", error.message));
                super::what_to_do(error);
            }
            match self.json {
                true => self.line("ended", result.fields()),
                false => super::standard_output(&format!("{name}: {}", result.text())),
            }
        });
    }

    fn display(&self) -> MutexGuard<'_, Display> {
        self.display.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
