"""Claims between arms of a survey: declared, judged, said."""
