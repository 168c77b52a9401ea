/* A course of doses: as JSON, table, page and line of text. SPDX-License-Identifier: Apache-2.0 */
#include "json.h"
#include "twin_internal.h"

#include <stdio.h>

static double computed_dose(const ddt_profile *profile, size_t subject, size_t dose) {
    return profile->values[subject][dose * profile->output_count];
}

static double given_dose(const ddt_profile *profile, const ddt_recommendation *r, size_t subject, size_t dose) {
    return ddt_course_round(&r->course, computed_dose(profile, subject, dose));
}

json_t *twin_course_json(const ddt_twin_outcome *outcome, const ddt_recommendation *r, size_t subject) {
    json_t *doses = json_array();
    for (size_t j = 0; j < r->course.time_count; j++) {
        (void)json_array_append_new(doses, json_pack("{s:f, s:f, s:o}", "time", r->course.times_h[j], "dose",
                                                     given_dose(outcome->profile, r, subject, j), "computed",
                                                     twin_json_number(computed_dose(outcome->profile, subject, j))));
    }
    return json_pack("{s:s, s:o, s:f}", "id", outcome->profile->subject_ids[subject], "course", doses, "infusion",
                     r->course.infusion_h);
}

void twin_course_table(twin_text *text, const ddt_profile *profile, const ddt_recommendation *r) {
    twin_text_add(text, "ID,TIME,DOSE,COMPUTED\n");
    for (size_t s = 0; s < r->subject_count; s++) {
        for (size_t j = 0; j < r->course.time_count; j++) {
            twin_text_csv(text, profile->subject_ids[s]);
            twin_text_add(text, ",%.9g,%.9g,%.9g\n", r->course.times_h[j], given_dose(profile, r, s, j),
                          computed_dose(profile, s, j));
        }
    }
}

static void add_unit(twin_text *text, const char *unit) {
    if (unit != NULL) {
        twin_text_add(text, " ");
        twin_text_escaped(text, unit);
    }
}

void twin_course_section(twin_text *text, const ddt_twin_outcome *outcome, const ddt_recommendation *r,
                         size_t subject) {
    const ddt_profile *profile = outcome->profile;
    twin_text_add(text, "<section><h2>Subject ");
    twin_text_escaped(text, profile->subject_ids[subject]);
    twin_text_add(text, "</h2><div class=\"scroll\"><table><tr><th class=\"n\">Time</th><th class=\"n\">Dose</th>"
                        "<th class=\"n\">As computed</th></tr>\n");
    for (size_t j = 0; j < r->course.time_count; j++) {
        twin_text_add(text, "<tr><td class=\"n\">%.6g %s</td><td class=\"n\">%.6g", r->course.times_h[j],
                      twin_time_unit(outcome->model), given_dose(profile, r, subject, j));
        add_unit(text, outcome->model->dose_unit);
        twin_text_add(text, "</td><td class=\"n\">%.5g</td></tr>\n", computed_dose(profile, subject, j));
    }
    twin_text_add(text, "</table></div></section>\n");
}

void ddt_twin_course_text(const ddt_twin_outcome *outcome, const ddt_recommendation *recommendation, size_t subject,
                          char text[DDT_COURSE_TEXT_MAX]) {
    const ddt_model *model = outcome->model;
    int used = 0;
    text[0] = '\0';
    for (size_t j = 0; j < recommendation->course.time_count && used < DDT_COURSE_TEXT_MAX; j++) {
        used += snprintf(text + used, (size_t)(DDT_COURSE_TEXT_MAX - used), "%s%.6g %s: %.6g %s", j == 0 ? "" : ", ",
                         recommendation->course.times_h[j], twin_time_unit(model),
                         given_dose(outcome->profile, recommendation, subject, j),
                         model->dose_unit == NULL ? "" : model->dose_unit);
    }
}
