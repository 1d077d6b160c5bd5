"""The portal's own pages."""

from django.urls import path

from portal.views import audit, notices, pages, people, public, settings, styleguide

app_name = "portal"
urlpatterns = [
    path("", pages.home, name="home"),
    path("public/", public.overview, name="public"),
    path("dashboard/", pages.dashboard, name="dashboard"),
    path("language/", settings.choose_language, name="language"),
    path("theme/", settings.choose_theme, name="theme"),
    path("settings/", settings.edit_settings, name="settings"),
    path("settings/sessions/<int:session_id>/end/", settings.end_session, name="session-end"),
    path("notices/", notices.notice_list, name="notices"),
    path("notices/<int:notice_id>/", notices.notice_detail, name="notice"),
    path("notices/read/", notices.mark_all_read, name="notices-read"),
    path("settings/notices/", notices.notice_preferences, name="notice-preferences"),
    path("people/", people.people_list, name="people"),
    path("people/<int:user_id>/", people.person_detail, name="person"),
    path("people/<int:user_id>/roles/", people.change_role, name="person-role"),
    path("audit/", audit.audit_list, name="audit"),
    path("audit/check/", audit.check_chain, name="audit-check"),
    path("audit/export/", audit.export_audit, name="audit-export"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
    path("healthz", pages.healthz, name="healthz"),
]
