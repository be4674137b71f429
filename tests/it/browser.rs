//! The pages in a real Chromium: what it complains of, who it shuts out, and a whole story by
//! clicks. Where there is no browser, these tests say so and pass.

mod driver;
mod live;
mod pages;
mod stage;
mod story;
