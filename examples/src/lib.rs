//! Small programs that show one thing each: see the folder `examples`.
