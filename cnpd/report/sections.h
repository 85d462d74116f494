// The sections of the page, in order. A section without data is empty.
#pragma once

#include "cnpd/report/markup.h"
#include "cnpd/report/report_data.h"

namespace cnpd::report {

// A heading, an explanation of the content, and the content. Empty if the content is empty.
Markup section(const std::string& id, const std::string& heading, const Markup& shown,
               const Markup& content);

// The row of the undefended model and the run's own row; null if there is none.
const ResultRow* victim_row(const ReportData& data);
const ResultRow* highlighted_row(const ReportData& data);

Markup headline(const ReportData& data);             // title, outcome, large numbers
Markup results_section(const ReportData& data);      // table of methods
Markup examples_section(const ReportData& data);     // images and predictions
Markup predictions_section(const ReportData& data);  // all test images, detection
Markup confusion_part(const ReportData& data);       // confusion matrices
Markup features_section(const ReportData& data);     // activations at the insertion point
Markup training_section(const ReportData& data);     // curves
Markup run_section(const ReportData& data);          // facts, commands
Markup glossary_section();

// The page's style sheet.
extern const char* const style_sheet;

}  // namespace cnpd::report
