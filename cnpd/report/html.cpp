#include "cnpd/report/html.h"

#include "cnpd/report/sections.h"

namespace cnpd::report {

Markup section(const std::string& id, const std::string& heading, const Markup& shown,
               const Markup& content) {
    if (content.empty()) return {};
    return markup("<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"seen\">{}</p>\n{}</section>\n", id,
                  heading, shown, content);
}

std::string render_html(const ReportData& data) {
    // The policy makes the browser block scripts and external content even if escaping fails.
    Markup page = markup(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'; img-src data:\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
        data.title.empty() ? "cnpd report" : data.title, Markup{style_sheet});
    page += headline(data);
    page += results_section(data);
    page += examples_section(data);
    page += predictions_section(data);
    page += features_section(data);
    page += training_section(data);
    page += run_section(data);
    page += glossary_section();
    page.html += "</main>\n</body>\n</html>\n";
    return page.html;
}

}  // namespace cnpd::report
